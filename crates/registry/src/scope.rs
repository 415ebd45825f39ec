//! What a token is for: `repository:PATH:ACTIONS` (distribution project, "Token Scope Documentation"). Pure.

use std::collections::BTreeSet;
use std::fmt;

/// Some actions on one thing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Scope {
    /// The thing, such as `repository:library/debian`.
    resource: String,
    actions: BTreeSet<String>,
}

impl Scope {
    pub(crate) fn pull(path: &str) -> Self {
        Self::repository(path, &["pull"])
    }

    pub(crate) fn push(path: &str) -> Self {
        Self::repository(path, &["pull", "push"])
    }

    /// Docker Hub wants to hear of `delete`, others know `*` only for what goes beyond `push`; so all is asked for.
    pub(crate) fn delete(path: &str) -> Self {
        Self::repository(path, &["delete", "pull", "push"])
    }

    pub(crate) fn catalog() -> Self {
        Self { resource: "registry:catalog".into(), actions: BTreeSet::from(["*".to_owned()]) }
    }

    /// Reads a scope; what is none has no colons and no actions.
    pub(crate) fn parse(text: &str) -> Self {
        let (resource, actions) = text.rsplit_once(':').unwrap_or((text, ""));
        let actions = actions.split(',').filter(|action| !action.is_empty());
        Self { resource: resource.to_owned(), actions: actions.map(str::to_owned).collect() }
    }

    fn repository(path: &str, actions: &[&str]) -> Self {
        let actions = actions.iter().map(|&action| action.to_owned()).collect();
        Self { resource: format!("repository:{path}"), actions }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let actions: Vec<_> = self.actions.iter().map(String::as_str).collect();
        write!(f, "{}:{}", self.resource, actions.join(","))
    }
}

/// Unites scopes: one for each thing, with all actions, in order.
pub(crate) fn union<'s>(scopes: impl IntoIterator<Item = &'s Scope>) -> Vec<Scope> {
    let mut all: Vec<Scope> = Vec::new();
    for scope in scopes {
        match all.iter_mut().find(|own| own.resource == scope.resource) {
            Some(own) => own.actions.extend(scope.actions.iter().cloned()),
            None => all.push(scope.clone()),
        }
    }
    all.sort();
    all
}

/// Tells whether a token for `have` is good for `wanted`.
pub(crate) fn covers(have: &[Scope], wanted: &[Scope]) -> bool {
    wanted.iter().all(|scope| {
        let own = have.iter().find(|own| own.resource == scope.resource);
        own.is_some_and(|own| scope.actions.is_subset(&own.actions))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(scopes: &[Scope]) -> Vec<String> {
        scopes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn scopes_are_united_by_what_they_are_about() {
        let all = union(&[Scope::pull("b"), Scope::pull("a"), Scope::push("b"), Scope::parse("registry:catalog:*")]);
        assert_eq!(texts(&all), ["registry:catalog:*", "repository:a:pull", "repository:b:pull,push"]);
        assert_eq!(Scope::parse("repository:r.test:5000/a:push,pull"), Scope::push("r.test:5000/a"));
    }

    #[test]
    fn a_token_for_more_is_good_for_less() {
        let have = [Scope::push("a"), Scope::pull("b")];
        assert!(covers(&have, &[Scope::pull("a"), Scope::pull("b")]));
        assert!(covers(&have, &[]));
        assert!(!covers(&have, &[Scope::push("b")]));
        assert!(!covers(&have, &[Scope::pull("c")]));
    }
}
