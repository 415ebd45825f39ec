//! Lists that come in pages: tags, and the repositories of a registry (distribution-spec, "Listing Tags").

use std::collections::HashSet;

use serde::Deserialize;
use ureq::http::Method;

use crate::client::Client;
use crate::complaint::clean;
use crate::error::{Error, Fault};
use crate::repository::Repository;
use crate::scope::Scope;
use crate::session::{Ask, Session, Target};
use crate::url::Url;
use crate::wire::Answer;

/// How many entries we ask for at once.
const PAGE: &str = "n=1000";
/// The longest page.
const LONGEST: u64 = 8 << 20;
/// More pages, or entries, than that are not read.
const MOST_PAGES: usize = 1000;
const MOST_ENTRIES: usize = 1_000_000;
/// The longest name of an entry.
const LONGEST_NAME: usize = 300;

#[derive(Deserialize)]
struct Page {
    #[serde(alias = "repositories")]
    tags: Option<Vec<String>>,
}

impl Repository<'_> {
    /// Returns all tags.
    pub fn tags(&self) -> Result<Vec<String>, Error> {
        let session = &self.registry;
        let what = format!("list the tags of {} at {}", session.site.path, session.name());
        let ask = session.ask(Method::GET, &format!("tags/list?{PAGE}"), session.pull_scope(), what);
        read_all(session, ask, MOST_ENTRIES).map_err(self.error("list the tags of"))
    }
}

impl Client<'_> {
    /// Returns the names of a registry's repositories, `most` of them at most. Many registries do not tell.
    pub fn catalog(&self, host: &str, most: usize) -> Result<Vec<String>, Error> {
        let read = || {
            let session = self.registry(host)?;
            let what = format!("list the repositories of {}", session.name());
            let target = Target::Own(format!("/v2/_catalog?{PAGE}"));
            read_all(&session, Ask::new(Method::GET, target, Scope::catalog(), what), most.min(MOST_ENTRIES))
        };
        read().map_err(|fault| Error::new(format!("list the repositories of {host}"), fault))
    }
}

/// Reads page after page until there is none, or enough is read.
fn read_all(session: &Session<'_>, mut ask: Ask, most: usize) -> Result<Vec<String>, Fault> {
    let mut all = Vec::new();
    let mut seen = HashSet::new();
    loop {
        let answer = session.send(&ask)?;
        if answer.status != 200 {
            return Err(session.refused(answer));
        }
        let next = next_page(session, &answer)?;
        let bytes = session.read(answer, LONGEST)?;
        let page: Page = serde_json::from_slice(&bytes).map_err(|_| session.odd("is no list"))?;
        let names = page.tags.unwrap_or_default().into_iter();
        // What is no name would only disturb a terminal.
        all.extend(names.filter(|name| name.len() <= LONGEST_NAME && clean(name) == *name));
        if all.len() >= most {
            all.truncate(most);
            return Ok(all);
        }
        let Some(next) = next else { return Ok(all) };
        if seen.len() >= MOST_PAGES || !seen.insert(next.to_string()) {
            return Err(session.odd("leads from page to page without end"));
        }
        ask.target = Target::Given(next);
    }
}

/// Reads `Link: <...>; rel="next"` (RFC 8288); a page elsewhere is none of this registry's.
pub(crate) fn next_page(session: &Session<'_>, answer: &Answer) -> Result<Option<Url>, Fault> {
    let Some(link) = answer.headers("Link").find_map(next_link) else { return Ok(None) };
    let next = answer.url.join(link).map_err(|source| Fault::Address { server: session.name().to_owned(), source })?;
    if next.authority() == answer.url.authority() {
        Ok(Some(next))
    } else {
        Err(session.odd("leads to a page elsewhere"))
    }
}

fn next_link(header: &str) -> Option<&str> {
    let mut rest = header;
    while let Some((_, after)) = rest.split_once('<') {
        let (address, after) = after.split_once('>')?;
        let parameters = after.split('<').next().unwrap_or_default();
        let is_next = |parameter: &str| {
            let parameter: String = parameter.chars().filter(|c| !c.is_whitespace() && *c != '"').collect();
            parameter.eq_ignore_ascii_case("rel=next")
        };
        if parameters.split([';', ',']).any(is_next) {
            return Some(address);
        }
        rest = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_among_links() {
        for (header, next) in [
            (r#"</v2/a/tags/list?last=b&n=2>; rel="next""#, Some("/v2/a/tags/list?last=b&n=2")),
            (r#"<a>; rel="prev", <b>; title="x"; REL=next"#, Some("b")),
            ("<a>; rel=last", None),
            ("<a", None),
            ("", None),
        ] {
            assert_eq!(next_link(header), next, "{header}");
        }
    }
}
