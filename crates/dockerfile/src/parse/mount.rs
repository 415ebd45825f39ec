//! `RUN --mount`.

use super::flags::boolean;
use super::lines::Complaint;
use crate::value::bytes;
use crate::{Mount, MountKind, Sharing, suggest};

/// What puts variables into a value.
pub(crate) type Lookup<'a> = dyn FnMut(&str) -> Result<String, crate::ExpandError> + 'a;

/// Why a mount cannot be read.
#[derive(Debug)]
pub(crate) enum MountFault {
    Complaint(String, Option<String>),
    Expand(crate::ExpandError),
}

impl From<String> for MountFault {
    fn from(message: String) -> Self {
        Self::Complaint(message, None)
    }
}

/// Every option, and what it may stand at.
const KEYS: [&str; 19] = [
    "type",
    "from",
    "source",
    "src",
    "target",
    "dst",
    "destination",
    "readonly",
    "ro",
    "readwrite",
    "rw",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "env",
];

/// Reads the value of a flag while variables are not yet known: what depends on one is left for later.
pub(super) fn read(word: &str, escape: char) -> Result<Mount, Complaint> {
    let later = |value: &str| value.contains(['$', '"', '\'', escape]);
    Reading::of(word, None, &later).map_err(|fault| match fault {
        MountFault::Complaint(message, hint) => Complaint { message, hint, about: Some(word.to_owned()) },
        MountFault::Expand(error) => Complaint::new(error.to_string()).about(word),
    })
}

/// Reads the value of a flag, with variables put in.
pub(crate) fn expanded(word: &str, lookup: &mut Lookup<'_>) -> Result<Mount, MountFault> {
    Reading::of(word, Some(lookup), &|_| false)
}

struct Reading {
    mount: Mount,
    read_only: Option<bool>,
    sharing: Option<Sharing>,
    required: Option<bool>,
    /// A value is still to come, so that nothing can be said of the whole.
    is_open: bool,
}

impl Reading {
    fn of(word: &str, mut lookup: Option<&mut Lookup<'_>>, later: &dyn Fn(&str) -> bool) -> Result<Mount, MountFault> {
        let mount = Mount { written: word.to_owned(), ..Mount::default() };
        let mut reading = Self { mount, read_only: None, sharing: None, required: None, is_open: false };
        for field in fields(word)? {
            let (key, value) = field.split_once('=').map_or((field.as_str(), None), |(key, value)| (key, Some(value)));
            let value = match (value, &mut lookup) {
                (Some(value), Some(lookup)) => Some(lookup(value).map_err(MountFault::Expand)?),
                (value, _) => value.map(str::to_owned),
            };
            reading.take(&key.to_ascii_lowercase(), value, later)?;
        }
        Ok(if reading.is_open { reading.mount } else { reading.finish()? })
    }

    fn take(&mut self, key: &str, value: Option<String>, later: &dyn Fn(&str) -> bool) -> Result<(), MountFault> {
        let is_switch = matches!(key, "readonly" | "ro" | "readwrite" | "rw" | "required");
        let Some(value) = value.or_else(|| is_switch.then(|| "true".to_owned())) else {
            return Err(format!("{key:?} needs a value: {key}=...").into());
        };
        if !KEYS.contains(&key) {
            let hint = suggest::hint(key, KEYS);
            return Err(MountFault::Complaint(format!("a mount has no option {key:?}"), hint));
        }
        if key != "from" && later(&value) {
            self.is_open = true;
            return Ok(());
        }
        let wrong = |kind: &str| MountFault::from(format!("{key} can be {kind}, not {value:?}"));
        let number = |radix| u32::from_str_radix(&value, radix).map_err(|_| wrong("a number"));
        let switch = || boolean(&value).ok_or_else(|| wrong("true or false"));
        let mount = &mut self.mount;
        match key {
            "type" => mount.kind = kind(&value)?,
            "from" => mount.from = Some(whole(&value)?).filter(|from| !from.is_empty()),
            "source" | "src" => mount.source = Some(value).filter(|source| !source.is_empty()),
            "target" | "dst" | "destination" => mount.target = Some(value).filter(|target| !target.is_empty()),
            "readonly" | "ro" => self.read_only = Some(switch()?),
            "readwrite" | "rw" => self.read_only = Some(!switch()?),
            "required" => self.required = Some(switch()?),
            "id" => mount.id = Some(value).filter(|id| !id.is_empty()),
            "sharing" => self.sharing = Some(sharing(&value)?),
            "size" => mount.size = Some(bytes(&value).ok_or_else(|| wrong("a size such as 64m"))?),
            "mode" => mount.mode = Some(number(8)?),
            "uid" => mount.uid = Some(number(10)?),
            "gid" => mount.gid = Some(number(10)?),
            _ => mount.env = Some(value).filter(|env| !env.is_empty()),
        }
        Ok(())
    }

    /// Holds the whole against its kind, and fills in what is usual.
    fn finish(self) -> Result<Mount, MountFault> {
        use MountKind::{Bind, Cache, Secret, Ssh, Tmpfs};
        let mut mount = self.mount;
        let kind = mount.kind;
        let given = [
            ("from", mount.from.is_some(), &[Bind, Cache][..]),
            ("source", mount.source.is_some(), &[Bind, Cache, Secret]),
            ("id", mount.id.is_some(), &[Cache, Secret, Ssh]),
            ("sharing", self.sharing.is_some(), &[Cache]),
            ("required", self.required.is_some(), &[Secret, Ssh]),
            ("size", mount.size.is_some(), &[Tmpfs]),
            ("mode", mount.mode.is_some(), &[Cache, Secret, Ssh]),
            ("uid", mount.uid.is_some(), &[Cache, Secret, Ssh]),
            ("gid", mount.gid.is_some(), &[Cache, Secret, Ssh]),
            ("env", mount.env.is_some(), &[Secret]),
        ];
        if let Some((key, ..)) = given.iter().find(|(_, is_given, kinds)| *is_given && !kinds.contains(&kind)) {
            return Err(format!("a mount of type {} has no {key}", kind.name()).into());
        }
        if kind == Secret {
            if mount.source.is_some() && mount.id.is_some() {
                return Err("a secret has either a source or an id".to_owned().into());
            }
            let named = mount.id.take().or(mount.source.take()).or_else(|| mount.target.as_deref().map(last_name));
            mount.id = Some(named.ok_or_else(|| "a secret needs an id".to_owned())?);
        }
        mount.read_only = self.read_only.unwrap_or(!matches!(kind, Cache | Tmpfs));
        mount.sharing = self.sharing.unwrap_or_default();
        mount.required = self.required.unwrap_or_default();
        let usual = match kind {
            Cache => Some(0o755),
            Secret => Some(0o400),
            Ssh => Some(0o600),
            Bind | Tmpfs => None,
        };
        mount.mode = mount.mode.or(usual);
        mount.uid = mount.uid.or(usual.map(|_| 0));
        mount.gid = mount.gid.or(usual.map(|_| 0));
        Ok(mount)
    }
}

fn kind(value: &str) -> Result<MountKind, MountFault> {
    let kinds = MountKind::ALL.iter().map(|kind| kind.name());
    MountKind::ALL.into_iter().find(|kind| value.eq_ignore_ascii_case(kind.name())).ok_or_else(|| {
        let names = kinds.clone().collect::<Vec<_>>().join(", ");
        let hint = suggest::hint(value, kinds).unwrap_or_else(|| format!("there are {names}"));
        MountFault::Complaint(format!("{value:?} is no type of mount"), Some(hint))
    })
}

fn sharing(value: &str) -> Result<Sharing, MountFault> {
    match value.to_ascii_lowercase().as_str() {
        "shared" => Ok(Sharing::Shared),
        "private" => Ok(Sharing::Private),
        "locked" => Ok(Sharing::Locked),
        _ => Err(format!("sharing can be shared, private or locked, not {value:?}").into()),
    }
}

/// Which stage is meant must be known before anything is built.
fn whole(from: &str) -> Result<String, MountFault> {
    if from.contains('$') {
        let hint = "name a stage: FROM $IMAGE AS name, and from=name".to_owned();
        return Err(MountFault::Complaint("from has no variables".into(), Some(hint)));
    }
    Ok(from.to_owned())
}

fn last_name(path: &str) -> String {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned()
}

/// Splits at commas; a field that begins with a quote ends with one, and holds two for one.
fn fields(text: &str) -> Result<Vec<String>, MountFault> {
    let mut fields = Vec::new();
    let mut rest = Some(text);
    while let Some(text) = rest {
        let (field, after) = match text.strip_prefix('"') {
            Some(inside) => quoted_field(inside).ok_or_else(|| format!("a quote is not closed in {text:?}"))?,
            None => {
                let end = text.find(',').unwrap_or(text.len());
                (text[..end].to_owned(), &text[end..])
            }
        };
        fields.push(field);
        rest = match after.strip_prefix(',') {
            Some(after) => Some(after),
            None if after.is_empty() => None,
            None => return Err(format!("{after:?} stands behind a quote").into()),
        };
    }
    Ok(fields)
}

fn quoted_field(text: &str) -> Option<(String, &str)> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (inside, after) = rest.split_once('"')?;
        field.push_str(inside);
        let Some(again) = after.strip_prefix('"') else { return Some((field, after)) };
        field.push('"');
        rest = again;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(word: &str) -> Mount {
        read(word, '\\').unwrap_or_else(|complaint| panic!("{word}: {complaint:?}"))
    }

    #[test]
    fn each_kind_has_what_is_usual_for_it() {
        let bind = mount("target=/src");
        assert_eq!((bind.kind, bind.read_only, bind.mode), (MountKind::Bind, true, None));
        assert!(!mount("type=bind,rw,dst=/src,from=build,src=/out").read_only);
        let cache = mount("type=cache,target=/c,sharing=locked,uid=1000,mode=0700,readonly=false");
        assert_eq!(
            (cache.sharing, cache.uid, cache.gid, cache.mode),
            (Sharing::Locked, Some(1000), Some(0), Some(0o700))
        );
        assert_eq!(mount("TYPE=TMPFS,target=/t,size=64m").size, Some(64 << 20));
        let secret = mount("type=secret,target=/root/.npmrc,required");
        assert_eq!((secret.id.as_deref(), secret.required, secret.mode), (Some(".npmrc"), true, Some(0o400)));
        assert_eq!(mount("type=secret,src=a,env=TOKEN").id.as_deref(), Some("a"));
        assert_eq!(mount("type=ssh").mode, Some(0o600));
        assert_eq!(mount("from=build").target, None);
        assert_eq!(mount("type=bind,\"source=a,b\",target=/x").source.as_deref(), Some("a,b"));
    }

    #[test]
    fn what_a_kind_does_not_know_is_refused() {
        for word in [
            "",
            "type=volume,target=/x",
            "type=secret",
            "target",
            "target=/x,size=1m",
            "target=/x,mode=1",
            "target=/x,sharing=locked",
            "target=/x,required",
            "type=tmpfs,target=/x,from=a",
            "type=secret,from=a,id=b",
            "type=secret,id=a,source=b",
            "type=cache,target=/x,sharing=all",
            "target=/x,ro=perhaps",
            "type=cache,target=/x,uid=me",
            "type=cache,target=/x,mode=9",
            "type=tmpfs,target=/x,size=big",
            "target=/x,from=$IMAGE",
            "tagret=/x",
            "\"target=/x",
            "\"target=/x\"y",
            "type=ssh,env=A",
        ] {
            assert!(read(word, '\\').is_err(), "{word}");
        }
    }

    #[test]
    fn what_depends_on_variables_waits_for_them() {
        let word = "type=$T,target=$D,size=${S}m";
        assert_eq!(read(word, '\\').unwrap().written, word);
        let mut lookup = |value: &str| Ok(value.replace("$T", "tmpfs").replace("$D", "/d").replace("${S}", "2"));
        let mount = expanded(word, &mut lookup).unwrap();
        assert_eq!((mount.kind, mount.target.as_deref(), mount.size), (MountKind::Tmpfs, Some("/d"), Some(2 << 20)));
        assert!(expanded("type=$T", &mut |_| Ok("what".into())).is_err());
    }
}
