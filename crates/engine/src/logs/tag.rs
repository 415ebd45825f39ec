//! The tag by which entries of the journal name their container: a template with Docker's words.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Container;

/// A template as in `{{.ImageName}}/{{.Name}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tag(Vec<Piece>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Id,
    FullId,
    Name,
    ImageId,
    ImageFullId,
    ImageName,
    DaemonName,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Word(Word),
}

/// Why a template is no tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown tag {0:?}: use text with {{{{.ID}}}}, {{{{.FullID}}}}, {{{{.Name}}}}, {{{{.ImageID}}}}, \
         {{{{.ImageFullID}}}}, {{{{.ImageName}}}} or {{{{.DaemonName}}}}"
)]
pub struct TagError(String);

const WORDS: [(&str, Word); 7] = [
    ("ID", Word::Id),
    ("FullID", Word::FullId),
    ("Name", Word::Name),
    ("ImageID", Word::ImageId),
    ("ImageFullID", Word::ImageFullId),
    ("ImageName", Word::ImageName),
    ("DaemonName", Word::DaemonName),
];

impl Default for Tag {
    fn default() -> Self {
        Self(vec![Piece::Word(Word::Id)])
    }
}

impl FromStr for Tag {
    type Err = TagError;

    fn from_str(template: &str) -> Result<Self, TagError> {
        let unknown = || TagError(template.to_owned());
        let (mut pieces, mut rest) = (Vec::new(), template);
        while let Some((text, after)) = rest.split_once("{{") {
            let (word, after) = after.split_once("}}").ok_or_else(unknown)?;
            let name = word.trim().strip_prefix('.').ok_or_else(unknown)?;
            let (_, word) = WORDS.into_iter().find(|(known, _)| *known == name).ok_or_else(unknown)?;
            if !text.is_empty() {
                pieces.push(Piece::Text(text.to_owned()));
            }
            pieces.push(Piece::Word(word));
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self(pieces))
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => f.write_str(text),
            Piece::Word(word) => {
                let name = WORDS.into_iter().find(|(_, known)| known == word).map_or("", |(name, _)| name);
                write!(f, "{{{{.{name}}}}}")
            }
        })
    }
}

impl TryFrom<String> for Tag {
    type Error = TagError;

    fn try_from(template: String) -> Result<Self, TagError> {
        template.parse()
    }
}

impl From<Tag> for String {
    fn from(tag: Tag) -> Self {
        tag.to_string()
    }
}

impl Tag {
    /// Fills the template in.
    pub(super) fn of(&self, container: &Container) -> String {
        let image = container.image_id.to_string();
        let hex = image.rsplit(':').next().unwrap_or_default();
        let word = |word: Word| match word {
            Word::Id => container.id.short(),
            Word::FullId => container.id.as_str(),
            Word::Name => container.name.as_str(),
            Word::ImageId => hex.get(..12).unwrap_or(hex),
            Word::ImageFullId => image.as_str(),
            Word::ImageName => container.request.image.as_str(),
            Word::DaemonName => "conductor",
        };
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Word(name) => word(*name).to_owned(),
        };
        self.0.iter().map(piece).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_a_template_with_docker_s_words() {
        for template in ["", "text", "{{.ID}}", "a/{{.ImageName}}/{{.Name}}-{{.FullID}}!", "}}{"] {
            assert_eq!(template.parse::<Tag>().unwrap().to_string(), template);
        }
        assert_eq!("{{ .Name }}".parse::<Tag>(), "{{.Name}}".parse());
        for bad in ["{{", "{{.Name", "{{Name}}", "{{.name}}", "{{.Name}}{{", "{{json .}}"] {
            assert!(bad.parse::<Tag>().is_err(), "{bad:?} was taken");
        }
    }
}
