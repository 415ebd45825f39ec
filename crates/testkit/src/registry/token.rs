//! Token servers of each kind, and the registries that want their tokens.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::{Reply, Request, Server};

/// A server that gives tokens, and knows which it gave.
#[derive(Debug)]
pub struct TokenServer {
    server: Server,
    given: Arc<Mutex<Vec<String>>>,
}

impl TokenServer {
    /// Starts one that gives a new token for each question, with `more` in its answer, and takes this `user:password`
    /// as base64 or as a form where one is demanded. `knows_post` says whether it speaks OAuth2.
    pub fn start(password: Option<(&str, &str)>, knows_post: bool, more: &Value) -> Self {
        let given = Arc::new(Mutex::new(Vec::new()));
        let (own, more) = (Arc::clone(&given), more.clone());
        let (basic, form) = match password {
            Some((base64, form)) => (Some(format!("Basic {base64}")), form.to_owned()),
            None => (None, String::new()),
        };
        let server = Server::start(move |request| {
            let good = match request.method.as_str() {
                "POST" if !knows_post => return Reply::status(404),
                "POST" => String::from_utf8_lossy(&request.body).contains(&form),
                _ => basic.is_none() || request.header("authorization") == basic.as_deref(),
            };
            if !good {
                return Reply::json(401, &json!({ "details": "incorrect username or password" }));
            }
            let mut given = own.lock().expect("the list");
            let token = format!("token-{}", given.len() + 1);
            given.push(token.clone());
            let mut answer = json!({ "token": token });
            if let (Some(answer), Some(more)) = (answer.as_object_mut(), more.as_object()) {
                answer.extend(more.clone());
            }
            Reply::json(200, &answer)
        });
        Self { server, given }
    }

    /// Returns the server, to be asked what came and to be told how to fail.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Forgets all tokens: none of them is good any more.
    pub fn revoke(&self) {
        self.given.lock().expect("the list").iter_mut().for_each(|token| *token = format!("old-{token}"));
    }

    /// Returns a guard that lets requests with a good token through to `inner`.
    pub fn guard(
        &self,
        scope: &'static str,
        inner: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> impl Fn(&Request) -> Reply + Send + Sync + 'static {
        let given = Arc::clone(&self.given);
        let realm = self.server.url("/token");
        move |request| {
            let token = request.header("authorization").and_then(|header| header.strip_prefix("Bearer "));
            let good = token.is_some_and(|token| given.lock().expect("the list").iter().any(|own| own == token));
            if good {
                return inner(request);
            }
            let scope = if scope.is_empty() { String::new() } else { format!(",scope=\"{scope}\"") };
            let wanted = format!("Bearer realm=\"{realm}\",service=\"r.test\"{scope}");
            Reply::json(401, &json!({ "errors": [{ "code": "UNAUTHORIZED", "message": "authentication required" }] }))
                .header("WWW-Authenticate", wanted)
        }
    }
}
