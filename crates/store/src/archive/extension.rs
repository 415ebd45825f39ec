//! What stands before a header and overrides it: PAX records (POSIX.1-2001, "pax Extended Header") and GNU's long names.

use super::fault::Fault;
use super::member::{Time, Xattr};
use super::number::{parse_decimal, parse_time};
use super::sparse::{EXTENTS_LIMIT, Extent};

/// How star, and GNU tar and Docker after it, spell an extended attribute.
const XATTR: &[u8] = b"SCHILY.xattr.";

/// The values of extended headers, each set or not.
#[derive(Debug, Clone, Default)]
pub(super) struct Extension {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<Time>,
    pub(super) xattrs: Vec<Xattr>,
    pub(super) sparse: PaxSparse,
}

/// The `GNU.sparse.` records of its three versions.
#[derive(Debug, Clone, Default)]
pub(super) struct PaxSparse {
    /// The name of the file; `path` then holds a made-up one for readers who don't know sparse files.
    pub(super) name: Option<Vec<u8>>,
    /// The size with the holes; a file is sparse if this is set.
    pub(super) real_size: Option<u64>,
    /// Version 1.0 keeps its map before the data.
    pub(super) major: Option<u64>,
    minor: Option<u64>,
    /// The map of versions 0.0 and 0.1.
    pub(super) map: Vec<Extent>,
    /// Version 0.0 gives each offset in a record of its own, before the length.
    pending: Option<u64>,
}

impl Extension {
    /// Reads the body of an extended header.
    pub(super) fn of(body: &[u8]) -> Result<Self, Fault> {
        let mut extension = Self::default();
        extension.read(body)?;
        Ok(extension)
    }

    /// Takes the body of a further extended header.
    pub(super) fn read(&mut self, mut body: &[u8]) -> Result<(), Fault> {
        while !body.is_empty() {
            let (key, value, rest) = split_record(body)?;
            self.set(key, value)?;
            body = rest;
        }
        Ok(())
    }

    /// Lays the values of `self` over those that stand for the whole archive.
    pub(super) fn over(self, global: &Self) -> Self {
        let mut xattrs = global.xattrs.clone();
        for xattr in self.xattrs {
            set_xattr(&mut xattrs, xattr.name, xattr.value);
        }
        Self {
            path: self.path.or_else(|| global.path.clone()),
            link: self.link.or_else(|| global.link.clone()),
            size: self.size.or(global.size),
            uid: self.uid.or(global.uid),
            gid: self.gid.or(global.gid),
            mtime: self.mtime.or(global.mtime),
            xattrs,
            // A map belongs to one file.
            sparse: self.sparse,
        }
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        match key {
            b"path" => self.path = optional(value, |text| Some(text.to_vec()), "path")?,
            b"linkpath" => self.link = optional(value, |text| Some(text.to_vec()), "linkpath")?,
            b"size" => self.size = optional(value, parse_decimal, "size")?,
            b"uid" => self.uid = optional(value, parse_decimal, "uid")?,
            b"gid" => self.gid = optional(value, parse_decimal, "gid")?,
            b"mtime" => self.mtime = optional(value, parse_time, "mtime")?,
            _ => {
                if let Some(name) = key.strip_prefix(XATTR) {
                    set_xattr(&mut self.xattrs, name.to_vec(), value.to_vec());
                } else if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
                    self.sparse.set(key, value)?;
                }
                // What else there is (atime, ctime, user names, comments, other tars' own) changes nothing here.
            }
        }
        Ok(())
    }
}

impl PaxSparse {
    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        match key {
            b"name" => self.name = Some(value.to_vec()),
            b"size" | b"realsize" => self.real_size = Some(sparse_number(value)?),
            b"major" => self.major = Some(sparse_number(value)?),
            b"minor" => self.minor = Some(sparse_number(value)?),
            b"offset" => self.pending = Some(sparse_number(value)?),
            b"numbytes" => {
                let offset = self.pending.take().ok_or(Fault::Sparse { why: "a length without an offset" })?;
                self.push(offset, sparse_number(value)?)?;
            }
            b"map" => self.read_map(value)?,
            _ => {}
        }
        Ok(())
    }

    /// Refuses what readers understand in different ways: a map without a size, or of a version to come, or of what has
    /// no data.
    pub(super) fn check(&self, is_file: bool) -> Result<(), Fault> {
        let is_sparse = self.real_size.is_some() || self.major.is_some() || !self.map.is_empty();
        let why = match (self.major.unwrap_or_default(), self.minor.unwrap_or_default()) {
            _ if !is_sparse => return Ok(()),
            _ if !is_file => "only files have holes",
            _ if self.real_size.is_none() => "the size of the file is not said",
            (0, _) | (1, 0) => return Ok(()),
            _ => "its version is not known",
        };
        Err(Fault::Sparse { why })
    }

    fn read_map(&mut self, value: &[u8]) -> Result<(), Fault> {
        // Nothing but a hole.
        if value.is_empty() {
            return Ok(());
        }
        let mut numbers = value.split(|&byte| byte == b',');
        while let Some(offset) = numbers.next() {
            let length = numbers.next().ok_or(Fault::Sparse { why: "an offset without a length" })?;
            self.push(sparse_number(offset)?, sparse_number(length)?)?;
        }
        Ok(())
    }

    fn push(&mut self, offset: u64, length: u64) -> Result<(), Fault> {
        if self.map.len() >= EXTENTS_LIMIT {
            return Err(Fault::Sparse { why: "too many pieces" });
        }
        self.map.push(Extent { offset, length, position: 0 });
        Ok(())
    }
}

fn sparse_number(value: &[u8]) -> Result<u64, Fault> {
    parse_decimal(value).ok_or(Fault::Sparse { why: "a number is expected" })
}

/// Sets an attribute; the last of a name wins.
fn set_xattr(xattrs: &mut Vec<Xattr>, name: Vec<u8>, value: Vec<u8>) {
    match xattrs.iter_mut().find(|xattr| xattr.name == name) {
        Some(xattr) => xattr.value = value,
        None => xattrs.push(Xattr { name, value }),
    }
}

/// An empty value takes a record back.
fn optional<T>(value: &[u8], parse: impl Fn(&[u8]) -> Option<T>, field: &'static str) -> Result<Option<T>, Fault> {
    if value.is_empty() {
        return Ok(None);
    }
    parse(value).map(Some).ok_or(Fault::Number { field })
}

/// Key, value, and the records behind.
type Record<'a> = (&'a [u8], &'a [u8], &'a [u8]);

/// Splits `length key=value\n` off; the length counts itself.
fn split_record(body: &[u8]) -> Result<Record<'_>, Fault> {
    let fault = |why| Fault::Extension { why };
    let blank = body.iter().take(20).position(|&byte| byte == b' ').ok_or(fault("a record has no length"))?;
    let length = parse_decimal(&body[..blank]).ok_or(fault("a record's length is no number"))?;
    let length = usize::try_from(length).map_err(|_| fault("a record is too long"))?;
    let record = body.get(blank + 1..length).ok_or(fault("a record is longer than its header"))?;
    let record = record.strip_suffix(b"\n").ok_or(fault("a record does not end with a line feed"))?;
    let equals = record.iter().position(|&byte| byte == b'=').ok_or(fault("a record has no '='"))?;
    Ok((&record[..equals], &record[equals + 1..], &body[length..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, value: &[u8]) -> Vec<u8> {
        let rest = [b" ", key.as_bytes(), b"=", value, b"\n"].concat();
        let mut length = rest.len() + 1;
        while rest.len() + length.to_string().len() != length {
            length += 1;
        }
        [length.to_string().as_bytes(), &rest].concat()
    }

    #[test]
    fn records_are_taken_in_order_and_the_last_wins() {
        let mut extension = Extension::default();
        let body = [
            record("path", b"first"),
            record("SCHILY.xattr.user.a", b"x=\ny"),
            record("path", b"second"),
            record("uid", b"4000000000"),
            record("mtime", b"-3.25"),
            record("LIBARCHIVE.creationtime", b"1"),
            record("SCHILY.xattr.user.a", b""),
            record("gid", b"7"),
            record("gid", b""),
        ]
        .concat();
        extension.read(&body).unwrap();
        assert_eq!(extension.path.as_deref(), Some(&b"second"[..]));
        assert_eq!(extension.uid, Some(4_000_000_000));
        assert_eq!(extension.gid, None);
        assert_eq!(extension.mtime, Some(Time { seconds: -4, nanos: 750_000_000 }));
        assert_eq!(extension.xattrs, [Xattr { name: b"user.a".to_vec(), value: Vec::new() }]);
    }

    #[test]
    fn a_record_may_hold_any_bytes_in_its_value() {
        let mut extension = Extension::default();
        extension.read(&record("SCHILY.xattr.user.b", b"\0\x01=\n\xff")).unwrap();
        assert_eq!(extension.xattrs[0].value, b"\0\x01=\n\xff");
    }

    #[test]
    fn malformed_records_are_named() {
        for body in [
            &b"path=x\n"[..],
            b" path=x\n",
            b"9 path=x",
            b"99 path=x\n",
            b"2 path=x\n",
            b"7 path\n",
            b"99999999999999999999999 path=x\n",
            b"18446744073709551616 p=x\n",
        ] {
            assert!(matches!(Extension::default().read(body), Err(Fault::Extension { .. })), "{body:?}");
        }
        for (key, value) in [("uid", "-1"), ("mtime", "soon"), ("size", "1e3")] {
            let body = record(key, value.as_bytes());
            assert!(matches!(Extension::default().read(&body), Err(Fault::Number { .. })), "{key}");
        }
        for (key, value) in [("GNU.sparse.map", "1,2,3"), ("GNU.sparse.numbytes", "3"), ("GNU.sparse.map", "a,b")] {
            let body = record(key, value.as_bytes());
            assert!(matches!(Extension::default().read(&body), Err(Fault::Sparse { .. })), "{key}");
        }
    }

    #[test]
    fn a_members_own_values_lie_over_the_archives() {
        let mut global = Extension::default();
        global.read(&[record("uid", b"1"), record("gid", b"2")].concat()).unwrap();
        let mut own = Extension::default();
        own.read(&record("uid", b"3")).unwrap();
        let both = own.over(&global);
        assert_eq!((both.uid, both.gid), (Some(3), Some(2)));
    }
}
