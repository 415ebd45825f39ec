//! The envelope of a document: whom it is about, and of what kind it is.

use oci::Digest;
use serde_json::{Value, json};

/// A document bound to an image: a Statement of in-toto, version 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    predicate_type: String,
    document: Value,
}

impl Statement {
    /// Says `predicate`, which is of the kind `predicate_type`, of the image with this name and this digest of its manifest.
    pub fn new(name: &str, digest: &Digest, predicate_type: &str, predicate: Value) -> Self {
        let document = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{ "name": name, "digest": { "sha256": digest.hex() } }],
            "predicateType": predicate_type,
            "predicate": predicate,
        });
        Self { predicate_type: predicate_type.to_owned(), document }
    }

    /// Returns the kind of what is said.
    pub fn predicate_type(&self) -> &str {
        &self.predicate_type
    }

    /// Returns the whole document.
    pub fn document(&self) -> &Value {
        &self.document
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_names_its_subject_by_digest() {
        let statement = Statement::new("pkg:docker/app@1", &Digest::of(b"x"), "kind", json!({ "a": 1 }));
        assert_eq!(statement.predicate_type(), "kind");
        let subject = &statement.document()["subject"][0];
        assert_eq!(subject["digest"]["sha256"], Digest::of(b"x").hex());
        assert_eq!(subject["name"], "pkg:docker/app@1");
        assert_eq!(statement.document()["predicate"]["a"], 1);
    }
}
