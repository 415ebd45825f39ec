//! Awkward and hostile archives, made by hand, byte by byte: what no library of tars would write.
//!
//! [`all`] gives them in families, each [`Case`] with a name that says what is odd about it. They are the same bytes
//! wherever they are made. The readers are compared on them (`crates/store/tests/kernel/archives`), and the fuzz targets
//! start from them (`examples/seeds.rs`).
//!
//! Start reading at [`Member`], of which archives are made; each family is a file.

mod attributes;
mod builder;
mod damage;
mod duplicates;
mod formats;
pub mod image;
mod kinds;
mod layers;
mod links;
mod names;
mod numbers;
mod pax;
mod sparse;
mod whiteouts;

pub use builder::{Magic, Member, tar};

/// An archive, or the layers of an image, and what is odd about it.
#[derive(Debug, Clone)]
pub struct Case {
    /// What kind of oddity.
    pub family: &'static str,
    /// The oddity, in words that are unique within the family.
    pub name: String,
    /// The layers, lowest first; most cases have one.
    pub layers: Vec<Layer>,
}

/// A tar, and what it says about the layers below.
#[derive(Debug, Clone)]
pub struct Layer {
    /// The tar.
    pub bytes: Vec<u8>,
    /// The names of its whiteouts and opaque markers, as they were meant.
    pub marks: Vec<Vec<u8>>,
}

/// A family being written down.
#[derive(Debug)]
pub(crate) struct Family {
    name: &'static str,
    cases: Vec<Case>,
}

/// A family by its name, and who writes it down.
type Written = (&'static str, fn(&mut Family));

/// Makes all cases, in the order of their families.
pub fn all() -> Vec<Case> {
    const FAMILIES: &[Written] = &[
        ("formats", formats::write),
        ("numbers", numbers::write),
        ("names", names::write),
        ("pax", pax::write),
        ("sparse", sparse::write),
        ("kinds", kinds::write),
        ("attributes", attributes::write),
        ("links", links::write),
        ("duplicates", duplicates::write),
        ("whiteouts", whiteouts::write),
        ("layers", layers::write),
        ("damage", damage::write),
    ];
    let family = |(name, write): &Written| {
        let mut family = Family { name, cases: Vec::new() };
        write(&mut family);
        family.cases
    };
    FAMILIES.iter().flat_map(family).collect()
}

impl Family {
    /// Adds an archive of these members and a plain file behind them, which shows whether a reader is still in step.
    fn case(&mut self, name: impl Into<String>, members: impl IntoIterator<Item = Member>) {
        self.stack(name, [members.into_iter().collect::<Vec<_>>()]);
    }

    /// Adds an image of several layers, each with a plain file at its end.
    fn stack(&mut self, name: impl Into<String>, layers: impl IntoIterator<Item = Vec<Member>>) {
        let layer = |(number, mut members): (usize, Vec<Member>)| {
            members.push(Member::file(if number == 0 { "after" } else { "after-above" }, b"after\n"));
            let marks = members.iter().filter_map(Member::mark).collect();
            Layer { bytes: tar(members), marks }
        };
        let layers = layers.into_iter().enumerate().map(layer).collect();
        self.cases.push(Case { family: self.name, name: name.into(), layers });
    }

    /// Adds an archive as it is.
    fn bytes(&mut self, name: impl Into<String>, bytes: Vec<u8>) {
        let layers = vec![Layer { bytes, marks: Vec::new() }];
        self.cases.push(Case { family: self.name, name: name.into(), layers });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn there_are_hundreds_and_no_two_are_called_alike() {
        let cases = all();
        assert!(cases.len() >= 320, "{}", cases.len());
        let names: BTreeSet<_> = cases.iter().map(|case| (case.family, case.name.as_str())).collect();
        assert_eq!(names.len(), cases.len());
    }
}
