//! Lists of images under one name, for several machines: the image-spec's index (image-index.md) and Docker's manifest list.
//!
//! A [`ManifestList`] is what is being put together; [`ManifestList::index`] is the document that a registry is given. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Digest, Machine, MachineChange, MachineError, Reference};

/// How many images a list may have; the largest that are known have some forty.
pub const MOST_MEMBERS: usize = 1000;
/// The longest index, in bytes: registries take no longer one.
pub const LONGEST_INDEX: usize = 4 << 20;

/// How one image stands in an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The kind of its manifest.
    #[serde(default)]
    pub media_type: String,
    /// The digest of its manifest.
    pub digest: Digest,
    /// The length of its manifest, in bytes.
    pub size: u64,
    /// The machine that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Machine>,
    /// Remarks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// What else somebody's index says of it, which is passed on as it is.
    #[serde(flatten)]
    pub more: BTreeMap<String, Value>,
}

/// An image of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// How it stands in the index.
    pub entry: Entry,
    /// The name it was asked for by; nothing where it was an ID, and the image has no name.
    pub name: Option<Reference>,
    /// Where it is.
    pub origin: Origin,
}

/// Where an image of a list is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Here, under this ID.
    Image(Digest),
    /// At a registry, under this name with a digest.
    Registry(Reference),
}

/// Images that are to be pushed under one name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestList {
    members: Vec<Member>,
}

/// The two documents that a list can become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListKind {
    /// The image-spec's index.
    Oci,
    /// Docker's manifest list, which holds manifests of its schema 2, each for a machine and without remarks.
    Docker,
}

/// Why something cannot be done with a list.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// The list has no such image.
    #[error("the list has no {asked}{}", among(.members))]
    NoMember {
        /// What was asked for.
        asked: String,
        /// What there is.
        members: Vec<String>,
    },
    /// The words fit several images.
    #[error("{asked} is several images of the list, so give a digest: {}", .members.join(", "))]
    Several {
        /// What was asked for.
        asked: String,
        /// What it fits.
        members: Vec<String>,
    },
    /// There are too many images.
    #[error("a list has at most {MOST_MEMBERS} images, and these would be {0}")]
    TooMany(usize),
    /// Nobody would take the index.
    #[error("the index has {0} bytes, and no registry takes more than {LONGEST_INDEX}")]
    TooLong(usize),
    /// There is nothing in it.
    #[error("the list has no images yet")]
    Empty,
    /// Docker's document cannot hold it.
    #[error(
        "{0} cannot stand in a manifest list of Docker's, which takes manifests of its schema 2 and no annotations"
    )]
    NotDockers(String),
    /// A machine is none.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The index of a registry is none, or the one composed here cannot be written.
    #[error("it is not an index")]
    Shape(#[from] serde_json::Error),
}

/// An index as it is written. The first two fields say what it is.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Index<'m> {
    schema_version: u64,
    media_type: &'m str,
    manifests: Vec<&'m Entry>,
}

const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

impl ListKind {
    /// Returns the media type of the document.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Oci => OCI_INDEX,
            Self::Docker => DOCKER_LIST,
        }
    }
}

impl Entry {
    /// Makes an entry that says no more than where its manifest is.
    pub fn new(digest: Digest, size: u64) -> Self {
        let (media_type, more) = (String::new(), BTreeMap::new());
        Self { media_type, digest, size, platform: None, annotations: None, more }
    }

    /// Reads the entries of somebody's index.
    pub fn parse_index(bytes: &[u8]) -> Result<Vec<Self>, ListError> {
        /// What of an index is of use here.
        #[derive(Deserialize)]
        struct Given {
            manifests: Vec<Entry>,
        }
        let entries = serde_json::from_slice::<Given>(bytes)?.manifests;
        match entries.len() {
            count if count > MOST_MEMBERS => Err(ListError::TooMany(count)),
            _ => Ok(entries),
        }
    }

    /// Tells whether it is an index within the index.
    pub fn is_index(&self) -> bool {
        [OCI_INDEX, DOCKER_LIST].contains(&self.media_type.as_str())
    }

    /// Tells whether its manifest is one of Docker's.
    pub fn is_docker(&self) -> bool {
        self.media_type == DOCKER_MANIFEST
    }

    /// Says something otherwise about the machine, and adds remarks; one that is there is replaced.
    pub fn annotate(
        &mut self,
        machine: &MachineChange,
        remarks: &BTreeMap<String, String>,
    ) -> Result<(), MachineError> {
        self.platform = machine.applied_to(self.platform.clone())?;
        if !remarks.is_empty() {
            self.annotations.get_or_insert_default().extend(remarks.clone());
        }
        Ok(())
    }

    fn fits_docker(&self) -> bool {
        let is_bare = self.more.is_empty() && self.annotations.as_ref().is_none_or(BTreeMap::is_empty);
        self.is_docker() && self.platform.is_some() && is_bare
    }
}

impl Member {
    /// Tells it in a few words: name, machine, and the beginning of its digest.
    pub fn told(&self) -> String {
        let name = self.name.as_ref().map(Reference::familiar);
        let machine = self.entry.platform.as_ref().map(|machine| machine.platform.to_string());
        let words = name.into_iter().chain(machine.map(|machine| format!("({machine})")));
        words.chain([self.entry.digest.short()]).collect::<Vec<_>>().join(" ")
    }

    /// A name, a digest with or without its algorithm, a name with a digest, or the ID of an image here.
    fn is(&self, asked: &str) -> bool {
        let digest = asked.parse().or_else(|_| format!("sha256:{asked}").parse::<Digest>()).ok();
        let digest = digest.or_else(|| asked.parse::<Reference>().ok()?.digest().copied());
        match digest {
            Some(digest) => self.entry.digest == digest || self.origin == Origin::Image(digest),
            None => self.name.is_some() && self.name == asked.parse().ok(),
        }
    }

    fn begins(&self, asked: &str) -> bool {
        let digits = asked.strip_prefix("sha256:").unwrap_or(asked);
        !digits.is_empty() && self.entry.digest.hex().starts_with(digits)
    }
}

impl ManifestList {
    /// Returns the images, in the order in which they were added.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Adds what one name stands for; what it stood for before, and whatever has one of the digests, goes.
    pub fn put(&mut self, members: Vec<Member>) -> Result<(), ListError> {
        let same = |old: &Member, new: &Member| {
            old.entry.digest == new.entry.digest || (old.name.is_some() && old.name == new.name)
        };
        let mut all = self.members.clone();
        all.retain(|old| !members.iter().any(|new| same(old, new)));
        all.extend(members);
        if all.len() > MOST_MEMBERS {
            return Err(ListError::TooMany(all.len()));
        }
        self.members = all;
        Ok(())
    }

    /// Finds an image by name or digest.
    pub fn find(&self, asked: &str) -> Result<&Member, ListError> {
        self.position(asked).map(|position| &self.members[position])
    }

    /// Takes an image out, and returns it.
    pub fn remove(&mut self, asked: &str) -> Result<Member, ListError> {
        let position = self.position(asked)?;
        Ok(self.members.remove(position))
    }

    /// Says something otherwise about the machine of an image, and adds remarks; one that is there is replaced.
    pub fn annotate(
        &mut self,
        asked: &str,
        machine: &MachineChange,
        remarks: &BTreeMap<String, String>,
    ) -> Result<(), ListError> {
        let position = self.position(asked)?;
        Ok(self.members[position].entry.annotate(machine, remarks)?)
    }

    /// Takes over under which digest a registry has an image now.
    pub fn renew(&mut self, before: &Digest, now: &Entry) {
        for member in self.members.iter_mut().filter(|member| member.entry.digest == *before) {
            (member.entry.digest, member.entry.size) = (now.digest, now.size);
            member.entry.media_type.clone_from(&now.media_type);
        }
    }

    /// Returns the machines that several images are for: whoever pulls gets the first of them.
    pub fn repeated(&self) -> Vec<String> {
        let machines: Vec<_> = self.members.iter().filter_map(|member| member.entry.platform.as_ref()).collect();
        let earlier = |number: usize| machines[..number].contains(&machines[number]);
        let again = (0..machines.len()).filter(|number| earlier(*number)).map(|number| &machines[number].platform);
        // What BuildKit attests of an image has no machine.
        let mut again: Vec<_> = again.filter(|platform| platform.os != "unknown").map(ToString::to_string).collect();
        again.sort();
        again.dedup();
        again
    }

    /// Chooses the document: Docker's where all that is in it is Docker's, else the specification's, or the one that is wished.
    pub fn kind(&self, wish: Option<ListKind>) -> Result<ListKind, ListError> {
        let other = self.members.iter().find(|member| !member.entry.fits_docker());
        match (wish, other) {
            (Some(ListKind::Docker), Some(other)) => Err(ListError::NotDockers(other.told())),
            (Some(wish), _) => Ok(wish),
            (None, None) if !self.members.is_empty() => Ok(ListKind::Docker),
            (None, _) => Ok(ListKind::Oci),
        }
    }

    /// Composes the document.
    pub fn index(&self, kind: ListKind) -> Result<Vec<u8>, ListError> {
        let manifests = self.members.iter().map(|member| &member.entry).collect();
        let index = Index { schema_version: 2, media_type: kind.media_type(), manifests };
        let bytes = serde_json::to_vec(&index)?;
        if bytes.len() > LONGEST_INDEX { Err(ListError::TooLong(bytes.len())) } else { Ok(bytes) }
    }

    /// A name or a digest comes first, then the beginning of a digest.
    fn position(&self, asked: &str) -> Result<usize, ListError> {
        let all = 0..self.members.len();
        let mut found: Vec<_> = all.clone().filter(|&position| self.members[position].is(asked)).collect();
        if found.is_empty() {
            found = all.clone().filter(|&position| self.members[position].begins(asked)).collect();
        }
        match found[..] {
            [position] => Ok(position),
            [] => Err(ListError::NoMember {
                asked: asked.to_owned(),
                members: self.members.iter().map(Member::told).collect(),
            }),
            _ => Err(ListError::Several {
                asked: asked.to_owned(),
                members: found.iter().map(|&position| self.members[position].entry.digest.to_string()).collect(),
            }),
        }
    }
}

/// Says what there is, for an error about what there is not.
fn among(members: &[String]) -> String {
    if members.is_empty() { ": it is empty".to_owned() } else { format!(", only {}", members.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, text: &str, platform: &str, media_type: &str) -> Member {
        let digest = Digest::of(text.as_bytes());
        let platform = Some(Machine::new(platform.parse().unwrap()));
        let entry = Entry { media_type: media_type.into(), platform, ..Entry::new(digest, 7) };
        let name: Reference = name.parse().unwrap();
        let origin = Origin::Registry(format!("{}@{digest}", name.repository()).parse().unwrap());
        Member { entry, name: Some(name), origin }
    }

    fn list() -> ManifestList {
        let mut list = ManifestList::default();
        list.put(vec![member("r.test/a:1", "a", "linux/amd64", DOCKER_MANIFEST)]).unwrap();
        let two = [("b", "linux/arm64"), ("c", "linux/s390x")];
        list.put(two.map(|(text, platform)| member("r.test/two", text, platform, DOCKER_MANIFEST)).into()).unwrap();
        list
    }

    fn digests(list: &ManifestList) -> Vec<Digest> {
        list.members().iter().map(|member| member.entry.digest).collect()
    }

    #[test]
    fn an_image_of_the_same_name_or_digest_is_replaced() {
        let of = |texts: &[&str]| texts.iter().map(|text| Digest::of(text.as_bytes())).collect::<Vec<_>>();
        let mut list = list();
        assert_eq!(digests(&list), of(&["a", "b", "c"]));
        list.put(vec![member("r.test/two", "d", "linux/arm64", DOCKER_MANIFEST)]).unwrap();
        assert_eq!(digests(&list), of(&["a", "d"]));
        list.put(vec![member("other.test/a", "a", "linux/amd64", DOCKER_MANIFEST)]).unwrap();
        assert_eq!(digests(&list), of(&["d", "a"]));
        let many = (0..MOST_MEMBERS).map(|number| member("m", &number.to_string(), "arm", DOCKER_MANIFEST)).collect();
        assert!(matches!(list.put(many), Err(ListError::TooMany(1002))));
        assert_eq!(digests(&list), of(&["d", "a"]));
    }

    #[test]
    fn an_image_is_found_by_name_and_by_digest() {
        let list = list();
        let found = |asked: &str| list.find(asked).map(|member| member.entry.digest).map_err(|error| error.to_string());
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        assert_eq!(found("r.test/a:1"), Ok(a));
        for asked in [b.to_string(), b.hex(), b.short(), format!("r.test/two@{b}")] {
            assert_eq!(found(&asked), Ok(b), "{asked}");
        }
        let several = found("r.test/two").unwrap_err();
        assert!(several.contains(&b.to_string()) && several.contains("give a digest"), "{several}");
        let told = format!("r.test/a:1 (linux/amd64) {}", a.short());
        assert!(
            found("r.test/a").unwrap_err().starts_with(&format!("the list has no r.test/a, only {told}, r.test/two"))
        );
        assert!(ManifestList::default().find("a").unwrap_err().to_string().ends_with("it is empty"));
    }

    #[test]
    fn the_document_is_docker_s_where_all_in_it_is() {
        let mut list = list();
        assert_eq!(list.kind(None).unwrap(), ListKind::Docker);
        assert_eq!(list.kind(Some(ListKind::Oci)).unwrap(), ListKind::Oci);
        let remark = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        list.annotate("r.test/a:1", &MachineChange::default(), &remark).unwrap();
        assert_eq!(list.kind(None).unwrap(), ListKind::Oci);
        let refused = list.kind(Some(ListKind::Docker)).unwrap_err().to_string();
        assert!(refused.starts_with("r.test/a:1 (linux/amd64)"), "{refused}");
        assert_eq!(ManifestList::default().kind(None).unwrap(), ListKind::Oci);
    }

    #[test]
    fn an_index_reads_back() {
        let mut list = list();
        let v8 = MachineChange { variant: Some("v8".into()), ..MachineChange::default() };
        list.annotate(&Digest::of(b"b").to_string(), &v8, &BTreeMap::new()).unwrap();
        let bytes = list.index(ListKind::Docker).unwrap();
        let text = String::from_utf8(bytes.clone()).unwrap();
        let start = format!(
            "{{\"schemaVersion\":2,\"mediaType\":\"{DOCKER_LIST}\",\"manifests\":[{{\"mediaType\":\"{DOCKER_MANIFEST}\",\
             \"digest\":\"{}\",\"size\":7,\"platform\":{{\"os\":\"linux\",\"architecture\":\"amd64\"}}}},",
            Digest::of(b"a")
        );
        assert!(text.starts_with(&start), "{text}");
        let read = Entry::parse_index(&bytes).unwrap();
        let foreign = format!("{{\"artifactType\":\"x/y\",\"digest\":\"{}\",\"size\":1}}", Digest::of(b"a"));
        let passed_on = Entry::parse_index(format!("{{\"manifests\":[{foreign}]}}").as_bytes()).unwrap();
        assert!(serde_json::to_string(&passed_on).unwrap().contains("\"artifactType\":\"x/y\""));
        assert_eq!(read, list.members().iter().map(|member| member.entry.clone()).collect::<Vec<_>>());
        assert_eq!(serde_json::from_slice::<ManifestList>(&serde_json::to_vec(&list).unwrap()).unwrap(), list);
    }

    #[test]
    fn what_is_no_index_or_too_much_of_one_is_refused() {
        assert!(matches!(Entry::parse_index(b"{}"), Err(ListError::Shape(_))));
        let entry = serde_json::to_string(&list().members()[0].entry).unwrap();
        let many = format!("{{\"manifests\":[{}]}}", vec![entry; 40_000].join(","));
        assert!(matches!(Entry::parse_index(many.as_bytes()), Err(ListError::TooMany(40_000))));
        let mut list = list();
        let remark = BTreeMap::from([("a".to_owned(), "b".repeat(LONGEST_INDEX))]);
        list.annotate("r.test/a:1", &MachineChange::default(), &remark).unwrap();
        assert!(matches!(list.index(ListKind::Oci), Err(ListError::TooLong(_))));
    }

    #[test]
    fn machines_that_several_images_are_for_are_told() {
        let mut list = list();
        assert_eq!(list.repeated(), [""; 0]);
        list.put(vec![member("x", "x", "linux/arm64", DOCKER_MANIFEST)]).unwrap();
        assert_eq!(list.repeated(), ["linux/arm64"]);
    }

    #[test]
    fn a_digest_that_a_registry_gave_anew_is_taken_over() {
        let mut list = list();
        let now = Entry { digest: Digest::of(b"packed"), size: 9, ..list.members()[0].entry.clone() };
        list.renew(&Digest::of(b"a"), &now);
        assert_eq!(list.members()[0].entry, now);
    }
}
