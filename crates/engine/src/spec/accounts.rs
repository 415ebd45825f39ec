//! Users and groups of an image, from the text of its `/etc/passwd` and `/etc/group`.
//!
//! The text is read by whoever has the root open; here it is only looked at. A static binary must not ask NSS, and the
//! host's users are not the container's in any case.

/// The users and groups of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accounts {
    /// The text of `/etc/passwd`; empty when there is none.
    pub passwd: String,
    /// The text of `/etc/group`; empty when there is none.
    pub group: String,
}

/// Who a process runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub uid: u32,
    /// The primary group.
    pub gid: u32,
    /// The other groups, in order, each once.
    pub groups: Vec<u32>,
    /// The home directory.
    pub home: String,
}

/// Why a user or group could not be found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// The image has no such user.
    #[error("the image has no user {0:?} in /etc/passwd: use a number, or another image")]
    NoUser(String),
    /// The image has no such group.
    #[error("the image has no group {0:?} in /etc/group: use a number, or another image")]
    NoGroup(String),
}

impl Accounts {
    /// Finds who `USER[:GROUP]` is; an empty text is user 0.
    ///
    /// As in Docker, a number need not be listed, and a named group takes the place of the groups the user is in.
    pub fn identity(&self, user: &str, more_groups: &[String]) -> Result<Identity, AccountError> {
        let (user, group) = user.split_once(':').map_or((user, None), |(user, group)| (user, Some(group)));
        let entry = self.user(if user.is_empty() { "0" } else { user });
        let uid = match &entry {
            Some(entry) => entry.uid,
            None if user.is_empty() => 0,
            None => user.parse().map_err(|_| AccountError::NoUser(user.to_owned()))?,
        };
        let gid = match group.filter(|group| !group.is_empty()) {
            Some(group) => self.gid(group)?,
            None => entry.as_ref().map_or(0, |entry| entry.gid),
        };
        let mut groups = match (&entry, group) {
            (Some(entry), None) => self.groups_of(entry.name),
            _ => Vec::new(),
        };
        for group in more_groups {
            groups.push(self.gid(group)?);
        }
        groups.sort_unstable();
        groups.dedup();
        let home = entry.map_or("", |entry| entry.home);
        Ok(Identity { uid, gid, groups, home: if home.is_empty() { "/" } else { home }.to_owned() })
    }

    fn user(&self, wanted: &str) -> Option<User<'_>> {
        let number = wanted.parse::<u32>().ok();
        // A name of digits is found as a name first, as in Docker.
        let users = || self.passwd.lines().filter_map(User::parse);
        users().find(|user| user.name == wanted).or_else(|| users().find(|user| Some(user.uid) == number))
    }

    fn gid(&self, wanted: &str) -> Result<u32, AccountError> {
        let named = self.group.lines().filter_map(Group::parse).find(|group| group.name == wanted);
        let number = || wanted.parse().map_err(|_| AccountError::NoGroup(wanted.to_owned()));
        named.map_or_else(number, |group| Ok(group.gid))
    }

    fn groups_of(&self, user: &str) -> Vec<u32> {
        let groups = self.group.lines().filter_map(Group::parse);
        groups.filter(|group| group.members.split(',').any(|member| member == user)).map(|group| group.gid).collect()
    }
}

/// A line of `/etc/passwd`.
struct User<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

impl<'a> User<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split(':');
        let (name, _password) = (fields.next()?, fields.next()?);
        let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let (_comment, home) = (fields.next(), fields.next().unwrap_or(""));
        Some(Self { name, uid, gid, home })
    }
}

/// A line of `/etc/group`.
struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

impl<'a> Group<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split(':');
        let (name, _password) = (fields.next()?, fields.next()?);
        Some(Self { name, gid: fields.next()?.parse().ok()?, members: fields.next().unwrap_or("").trim() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts() -> Accounts {
        Accounts {
            passwd: "root:x:0:0:root:/root:/bin/bash\nmalformed\nweb:x:33:34::/srv:/bin/sh\n7:x:70:70::/seven:\n"
                .into(),
            group: "root:x:0:\nadm:x:4:web,root\nweb:x:34:\nwheel:x:10:web\n".into(),
        }
    }

    fn identity(user: &str) -> Result<(u32, u32, Vec<u32>, String), AccountError> {
        accounts().identity(user, &[]).map(|found| (found.uid, found.gid, found.groups, found.home))
    }

    #[test]
    fn a_user_is_found_by_name_and_by_number_with_its_groups_and_home() {
        assert_eq!(identity("web").unwrap(), (33, 34, vec![4, 10], "/srv".into()));
        assert_eq!(identity("33").unwrap(), (33, 34, vec![4, 10], "/srv".into()));
        assert_eq!(identity("").unwrap(), (0, 0, vec![4], "/root".into()));
        assert_eq!(identity("7").unwrap().0, 70);
    }

    #[test]
    fn a_number_need_not_be_listed() {
        assert_eq!(identity("1000").unwrap(), (1000, 0, vec![], "/".into()));
        assert_eq!(identity("1000:1001").unwrap(), (1000, 1001, vec![], "/".into()));
        assert_eq!(Accounts::default().identity("", &[]).unwrap().home, "/");
    }

    #[test]
    fn a_group_takes_the_place_of_the_user_s() {
        assert_eq!(identity("web:adm").unwrap(), (33, 4, vec![], "/srv".into()));
        let more = accounts().identity("web:adm", &["wheel".into(), "99".into()]).unwrap();
        assert_eq!(more.groups, [10, 99]);
    }

    #[test]
    fn a_name_that_is_not_listed_is_an_error() {
        assert_eq!(identity("nobody").unwrap_err(), AccountError::NoUser("nobody".into()));
        assert_eq!(identity("web:nogroup").unwrap_err(), AccountError::NoGroup("nogroup".into()));
    }
}
