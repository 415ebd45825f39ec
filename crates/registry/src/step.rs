//! Requests told in words, with the curl that does the same. No secret stands in them: tokens and passwords are variables.

use std::time::Duration;

use trace::{Explain, Step, quote};
use ureq::http::Method;

use crate::url::Url;

/// What proves who we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof<'p> {
    Nothing,
    Token,
    Password(&'p str),
}

/// A request to a registry, or to where it leads.
#[derive(Debug)]
pub(crate) struct RequestStep<'s> {
    pub(crate) what: &'s str,
    pub(crate) method: &'s Method,
    pub(crate) url: &'s Url,
    /// Whether the address is ours; in others' there may be signatures.
    pub(crate) own: bool,
    pub(crate) headers: &'s [(&'static str, String)],
    pub(crate) proof: Proof<'s>,
    pub(crate) verified: bool,
    pub(crate) has_body: bool,
}

/// A question for a token.
#[derive(Debug)]
pub(crate) struct TokenStep<'s> {
    pub(crate) url: &'s Url,
    /// The user, when a password is shown.
    pub(crate) user: Option<&'s str>,
    /// The form's fields, without secrets.
    pub(crate) form: Option<&'s str>,
}

/// A pause before something is tried again.
#[derive(Debug)]
pub(crate) struct PauseStep<'s> {
    pub(crate) pause: Duration,
    pub(crate) why: &'s str,
}

impl Explain for RequestStep<'_> {
    fn explain(&self) -> Step {
        let mut words = vec!["curl -fsS".to_owned()];
        match *self.method {
            Method::GET => {}
            Method::HEAD => words.push("-I".into()),
            _ => words.push(format!("-X {}", self.method)),
        }
        if !self.verified {
            words.push("-k".into());
        }
        match self.proof {
            Proof::Nothing => {}
            Proof::Token => words.push("-H \"Authorization: Bearer $TOKEN\"".into()),
            Proof::Password(user) => words.push(format!("-u {}", quote(user))),
        }
        words.extend(self.headers.iter().map(|(name, value)| format!("-H {}", quote(&format!("{name}: {value}")))));
        if self.has_body {
            words.push("--data-binary @-".into());
        }
        let url = if self.own { self.url.to_string() } else { self.url.public() };
        words.push(quote(&url).into_owned());
        Step::host(self.what, words.join(" "))
    }
}

impl Explain for TokenStep<'_> {
    fn explain(&self) -> Step {
        let user = self.user.map(|user| format!("-u {} ", quote(user))).unwrap_or_default();
        // Its fields are encoded, so nothing but the variables is looked into.
        let form = self.form.map(|form| format!("-d \"{form}\" ")).unwrap_or_default();
        let url = quote(&self.url.to_string()).into_owned();
        let shell = format!("TOKEN=$(curl -fsS {user}{form}{url} | jq -r '.token // .access_token')");
        Step::host(format!("ask {} for a token", self.url.authority()), shell)
    }
}

impl Explain for PauseStep<'_> {
    fn explain(&self) -> Step {
        let seconds = self.pause.as_secs_f64();
        Step::host(format!("wait {seconds:.2} seconds: {}", self.why), format!("sleep {seconds:.2}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_told_as_curl_without_secrets() {
        let url = Url::parse("https://r.test/v2/a/blobs/uploads/1?_state=secret").unwrap();
        let headers = [("Accept", "a, b".to_owned())];
        let mut step = RequestStep {
            what: "send a blob",
            method: &Method::PUT,
            url: &url,
            own: false,
            headers: &headers,
            proof: Proof::Token,
            verified: false,
            has_body: true,
        };
        assert_eq!(
            step.explain().shell,
            "curl -fsS -X PUT -k -H \"Authorization: Bearer $TOKEN\" -H 'Accept: a, b' --data-binary @- \
             'https://r.test/v2/a/blobs/uploads/1?...'"
        );
        step.own = true;
        step.proof = Proof::Password("eg");
        assert!(step.explain().shell.ends_with("'https://r.test/v2/a/blobs/uploads/1?_state=secret'"));
        assert!(step.explain().shell.contains("-u eg "));
    }

    #[test]
    fn a_token_is_asked_for_into_a_variable() {
        let url = Url::parse("https://a.test/token?service=r&scope=x:y:pull").unwrap();
        let step = TokenStep { url: &url, user: Some("eg"), form: None }.explain();
        assert_eq!(step.what, "ask a.test for a token");
        assert_eq!(
            step.shell,
            "TOKEN=$(curl -fsS -u eg 'https://a.test/token?service=r&scope=x:y:pull' | jq -r '.token // .access_token')"
        );
    }
}
