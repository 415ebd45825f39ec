//! A file of any server: one request, with the redirects that it leads to. No credentials of registries are shown.

use std::io::Read;

use trace::{Explain, Step, quote};
use ureq::http::Method;

use crate::client::Client;
use crate::complaint::Complaint;
use crate::error::{Error, Fault};
use crate::url::Url;
use crate::wire::{Answer, Body, Request};

/// How often an address may lead to another one.
const MOST_REDIRECTS: u32 = 10;

/// What a server gave.
pub struct Page {
    answer: Answer,
}

struct FetchStep<'s>(&'s Url);

impl Client<'_> {
    /// Asks for what is at an address; an answer that it is still the same (304) is one too.
    pub fn get(&self, address: &str, headers: &[(&'static str, String)]) -> Result<Page, Error> {
        let failed = |fault: Fault| Error::new(format!("get {address}"), fault);
        let mut url = Url::parse(address).map_err(|error| failed(Fault::Link(error.to_string())))?;
        for _ in 0..=MOST_REDIRECTS {
            self.recorder.record(&FetchStep(&url));
            let request = Request { method: &Method::GET, url: &url, headers, authorization: None, verified: true };
            let wire = |source| failed(Fault::Wire { server: url.authority().to_owned(), source });
            let answer = self.wire.send(&request, Body::Nothing).map_err(wire)?;
            match (answer.status, answer.header("location").map(ToOwned::to_owned)) {
                (301 | 302 | 303 | 307 | 308, Some(location)) => {
                    let next = url.join(&location).map_err(|error| failed(Fault::Link(error.to_string())))?;
                    answer.finish();
                    url = next;
                }
                (200..=299 | 304, _) => return Ok(Page { answer }),
                (status, _) => {
                    let server = url.authority().to_owned();
                    return Err(failed(Fault::Refused { server, status, complaint: Complaint::default() }));
                }
            }
        }
        Err(failed(Fault::Link(format!("it leads on more than {MOST_REDIRECTS} times"))))
    }
}

impl Page {
    /// Tells whether what is there is what the caller has already.
    pub fn is_unchanged(&self) -> bool {
        self.answer.status == 304
    }

    /// Returns a header that is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.answer.header(name)
    }

    /// Returns the body as it comes.
    pub fn into_reader(self) -> impl Read {
        self.answer.into_reader()
    }
}

impl std::fmt::Debug for Page {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Page").field("status", &self.answer.status).finish_non_exhaustive()
    }
}

impl Explain for FetchStep<'_> {
    fn explain(&self) -> Step {
        let address = self.0.public();
        Step::host(format!("get {address}"), format!("curl -fLO {}", quote(&address)))
    }
}
