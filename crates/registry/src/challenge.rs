//! What a server asks for with `WWW-Authenticate` (RFC 9110, 11.6.1), read with patience: a header may hold several
//! challenges, several headers may come, and what makes no sense is passed over. Pure.

/// What a server asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// A name and a secret, with every request.
    Basic,
    /// A token of another server (distribution project, "Token Authentication Specification").
    Bearer(Bearer),
}

/// Where a token is to be had, and for what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Bearer {
    pub(crate) realm: String,
    pub(crate) service: Option<String>,
    /// What the request would have needed.
    pub(crate) scopes: Vec<String>,
    pub(crate) error: Option<String>,
}

/// The longest header that is looked at; the rest of it is ignored.
const LONGEST: usize = 16 << 10;
/// More parameters than any challenge has.
const MOST_PARAMETERS: usize = 64;

/// Reads all challenges of an answer, a token first: where a server offers both, the secret is better kept.
pub(crate) fn parse<'h>(headers: impl IntoIterator<Item = &'h str>) -> Vec<Challenge> {
    let mut found: Vec<Challenge> = headers.into_iter().flat_map(parse_header).collect();
    found.sort_by_key(|challenge| matches!(challenge, Challenge::Basic));
    found
}

fn parse_header(text: &str) -> Vec<Challenge> {
    let end = (0..=text.len().min(LONGEST)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    let mut scanner = Scanner { rest: &text[..end] };
    let mut found = Vec::new();
    while let Some(scheme) = scanner.scheme() {
        let parameters = scanner.parameters();
        found.extend(understand(scheme, &parameters));
    }
    found
}

fn understand(scheme: &str, parameters: &[(String, String)]) -> Option<Challenge> {
    let value = |name: &str| parameters.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone());
    match scheme.to_ascii_lowercase().as_str() {
        "basic" => Some(Challenge::Basic),
        "bearer" => Some(Challenge::Bearer(Bearer {
            realm: value("realm")?,
            service: value("service").filter(|service| !service.is_empty()),
            scopes: value("scope").unwrap_or_default().split_ascii_whitespace().map(str::to_owned).collect(),
            error: value("error"),
        })),
        _ => None,
    }
}

struct Scanner<'t> {
    rest: &'t str,
}

impl<'t> Scanner<'t> {
    /// Takes a word that begins a challenge; a word with `=` after it belongs to the one before and is passed over.
    fn scheme(&mut self) -> Option<&'t str> {
        loop {
            self.skip(|c| c == ',' || c.is_whitespace());
            let word = self.token();
            match (word.is_empty(), self.rest.chars().next()) {
                (true, None) => return None,
                // Something that stands nowhere in the grammar.
                (true, Some(odd)) => self.rest = &self.rest[odd.len_utf8()..],
                (false, _) if self.is_parameter_next() => drop(self.value()),
                (false, _) => return Some(word),
            }
        }
    }

    /// Takes `name=value` pairs up to the next challenge.
    fn parameters(&mut self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        loop {
            self.skip(|c| c == ',' || c.is_whitespace());
            let before = self.rest;
            let name = self.token();
            if name.is_empty() || !self.is_parameter_next() {
                self.rest = before;
                return found;
            }
            let value = self.value();
            if found.len() < MOST_PARAMETERS {
                found.push((name.to_ascii_lowercase(), value));
            }
        }
    }

    fn is_parameter_next(&self) -> bool {
        self.rest.trim_start().starts_with('=')
    }

    /// Takes `= value`, in quotes or not.
    fn value(&mut self) -> String {
        self.skip(|c| c == '=' || c.is_whitespace());
        let Some(quoted) = self.rest.strip_prefix('"') else {
            let end = self.rest.find([',', ' ', '\t']).unwrap_or(self.rest.len());
            let (value, rest) = self.rest.split_at(end);
            self.rest = rest;
            return value.to_owned();
        };
        let mut value = String::new();
        let mut chars = quoted.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.rest = &quoted[at + 1..];
                    return value;
                }
                '\\' => value.extend(chars.next().map(|(_, c)| c)),
                _ => value.push(c),
            }
        }
        // The closing quote never came.
        self.rest = "";
        value
    }

    fn token(&mut self) -> &'t str {
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        let end = self.rest.find(|c| !is_token(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn skip(&mut self, what: impl Fn(char) -> bool) {
        self.rest = self.rest.trim_start_matches(what);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bearer(realm: &str, service: &str, scopes: &[&str]) -> Challenge {
        let service = Some(service.to_owned()).filter(|service| !service.is_empty());
        let scopes = scopes.iter().map(|&scope| scope.to_owned()).collect();
        Challenge::Bearer(Bearer { realm: realm.into(), service, scopes, error: None })
    }

    #[test]
    fn a_challenge_is_read_in_all_its_spellings() {
        let usual = bearer("https://a.test/token", "r.test", &["repository:a/b:pull,push"]);
        for text in [
            r#"Bearer realm="https://a.test/token",service="r.test",scope="repository:a/b:pull,push""#,
            r#"bearer  Realm = "https://a.test/token" , SERVICE=r.test ,, scope="repository:a/b:pull,push""#,
            r#"Negotiate, Bearer realm="https://a.test/\token", service="r.test", scope="repository:a/b:pull,push""#,
            r#"Digest realm="x, y", nonce="a=b", Bearer realm="https://a.test/token",service="r.test",scope="repository:a/b:pull,push", NTLM"#,
        ] {
            assert_eq!(parse([text]).as_slice(), std::slice::from_ref(&usual), "{text}");
        }
    }

    #[test]
    fn a_token_is_preferred_to_a_secret_in_whatever_order_they_are_offered() {
        let both = [bearer("https://a.test/", "", &[]), Challenge::Basic];
        assert_eq!(parse([r#"Basic realm="x", Bearer realm="https://a.test/""#]), both);
        assert_eq!(parse([r#"Basic realm="x""#, r#"Bearer realm="https://a.test/""#]), both);
    }

    #[test]
    fn what_makes_no_sense_is_passed_over() {
        for text in ["", ",,,", "Bearer", r#"Bearer scope="x""#, "=", "\"", "Bearer realm", "😀 realm=x", "a=b, c=\"d"]
        {
            assert_eq!(parse([text]), [], "{text}");
        }
        assert_eq!(parse([r#"Bearer realm="https://a.test/"#]), [bearer("https://a.test/", "", &[])]);
        assert_eq!(parse(["a=b Basic"]), [Challenge::Basic]);
    }

    proptest! {
        #[test]
        fn no_header_stops_the_reader(text in "([ ,=\"\\\\a-zB]|realm|Bearer|😀){0,40}") {
            let _ = parse([text.as_str()]);
        }
    }
}
