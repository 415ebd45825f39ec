//! Credentials in files and with helpers, all in a directory of the test.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, value: &Value) {
        std::fs::write(self.path(name), serde_json::to_vec(value).unwrap()).unwrap();
    }

    fn read(&self, name: &str) -> Value {
        serde_json::from_slice(&std::fs::read(self.path(name)).unwrap()).unwrap()
    }

    fn credentials(&self) -> Credentials {
        Credentials::new(CredentialPaths {
            docker: Some(self.path("config.json")),
            others: vec![self.path("auth.json")],
            helpers: Some(self.0.path().to_owned()),
        })
    }

    /// A helper that keeps one secret, which it is asked for as `r.test`, in a file.
    fn helper(&self) {
        let script = format!(
            "#!/bin/sh\ncd {}\ncase $1 in\nstore) cat > kept ;;\nerase) rm kept ;;\n\
             get) test \"$(cat)\" = broken.test && {{ echo the keychain is locked; exit 1; }}\n\
             test -e kept || {{ echo credentials not found in native keychain; exit 1; }}; cat kept ;;\nesac\n",
            self.0.path().display()
        );
        let path = self.path("docker-credential-test");
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }
}

fn password(user: &str, secret: &str) -> Credential {
    Credential::Password { user: user.into(), secret: Secret::new(secret) }
}

#[test]
fn what_is_stored_is_found_and_nothing_else_is_touched() {
    let home = Home::new();
    let own =
        json!({ "HttpHeaders": { "x": "y" }, "auths": { "other.test": { "auth": "YTpi" } }, "detachKeys": "ctrl-e" });
    home.write("config.json", &own);
    let credentials = home.credentials();
    credentials.store("r.test:5000", &password("eg", "a:b ü")).unwrap();
    assert_eq!(credentials.find("r.test:5000", "x").unwrap(), password("eg", "a:b ü"));
    assert_eq!(credentials.find("r.test", "x").unwrap(), Credential::Anonymous);
    let mut now = home.read("config.json");
    assert_eq!(now["auths"].as_object_mut().unwrap().remove("r.test:5000"), Some(json!({ "auth": "ZWc6YTpiIMO8" })));
    assert_eq!(now, own);
    let mode = std::fs::metadata(home.path("config.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let names: Vec<_> = std::fs::read_dir(home.0.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["config.json"]);
}

#[test]
fn docker_hub_is_found_under_all_its_names() {
    let home = Home::new();
    home.credentials().store("docker.io", &password("eg", "s")).unwrap();
    assert_eq!(home.read("config.json")["auths"]["https://index.docker.io/v1/"]["auth"], "ZWc6cw==");
    for host in ["docker.io", "index.docker.io", "registry-1.docker.io"] {
        assert_eq!(home.credentials().find(host, "library/debian").unwrap(), password("eg", "s"));
    }
    assert_eq!(home.credentials().remove("docker.io").unwrap(), LoggedOut { removed: true, remains_in: None });
    assert_eq!(home.credentials().find("docker.io", "").unwrap(), Credential::Anonymous);
}

#[test]
fn tokens_and_older_spellings_are_understood() {
    let home = Home::new();
    home.write(
        "config.json",
        &json!({ "auths": {
            "https://old.test/v1/": { "username": "eg", "password": "s" },
            "id.test": { "auth": "ZWc6", "identitytoken": "t" },
            "reg.test": { "registrytoken": "t" },
            "empty.test": {},
            "bad.test": { "auth": "***" },
        }}),
    );
    let find = |host: &str| home.credentials().find(host, "");
    assert_eq!(find("old.test").unwrap(), password("eg", "s"));
    assert_eq!(find("id.test").unwrap(), Credential::Identity { user: "eg".into(), token: Secret::new("t") });
    assert_eq!(find("reg.test").unwrap(), Credential::Registry { token: Secret::new("t") });
    assert_eq!(find("empty.test").unwrap(), Credential::Anonymous);
    let wrong = find("bad.test").unwrap_err().to_string();
    assert!(wrong.ends_with("says for bad.test something that is not base64 of USER:PASSWORD"), "{wrong}");
}

#[test]
fn podman_s_file_is_read_by_parts_of_names_and_not_written() {
    let home = Home::new();
    home.write(
        "auth.json",
        &json!({ "auths": { "r.test/team": { "auth": "YTpi" }, "r.test": { "auth": "YzpkCg==" } } }),
    );
    let find = |path: &str| home.credentials().find("r.test", path).unwrap();
    assert_eq!(find("team/x"), password("a", "b"));
    assert_eq!(find("teams/x"), password("c", "d\n"));
    let logged_out = home.credentials().remove("r.test").unwrap();
    assert_eq!(logged_out, LoggedOut { removed: false, remains_in: Some(home.path("auth.json")) });
}

#[test]
fn a_helper_keeps_secrets_out_of_the_file() {
    let home = Home::new();
    home.helper();
    home.write(
        "config.json",
        &json!({ "credHelpers": { "r.test": "test", "broken.test": "test", "gone.test": "gone" } }),
    );
    let credentials = home.credentials();
    assert_eq!(credentials.find("r.test", "").unwrap(), Credential::Anonymous);
    assert_eq!(credentials.store("r.test", &password("eg", "s")).unwrap(), "the helper docker-credential-test");
    assert_eq!(home.read("kept"), json!({ "ServerURL": "r.test", "Username": "eg", "Secret": "s" }));
    assert_eq!(home.read("config.json")["auths"], json!({ "r.test": {} }));
    assert_eq!(credentials.find("r.test", "").unwrap(), password("eg", "s"));
    assert!(credentials.remove("r.test").unwrap().removed);
    assert!(!home.path("kept").exists());
    assert!(!credentials.remove("r.test").unwrap().removed);
    let said = |host: &str| std::error::Error::source(&credentials.find(host, "").unwrap_err()).unwrap().to_string();
    assert_eq!(said("broken.test"), "docker-credential-test says: the keychain is locked");
    assert_eq!(said("gone.test"), "cannot run docker-credential-gone");
}

#[test]
fn a_token_in_a_helper_is_known_by_its_user() {
    let home = Home::new();
    home.helper();
    home.write("config.json", &json!({ "credsStore": "test" }));
    let token = Credential::Identity { user: "eg".into(), token: Secret::new("t") };
    home.credentials().store("r.test", &token).unwrap();
    let found = Credential::Identity { user: String::new(), token: Secret::new("t") };
    assert_eq!(home.credentials().find("r.test", "").unwrap(), found);
}

#[test]
fn a_helper_s_name_leads_nowhere_else() {
    let home = Home::new();
    home.write("config.json", &json!({ "credsStore": "../../bin/sh" }));
    assert!(home.credentials().find("r.test", "").is_err());
}

#[test]
fn a_secret_is_not_shown() {
    assert_eq!(format!("{:?}", password("eg", "s")), r#"Password { user: "eg", secret: *** }"#);
}

#[test]
fn two_writers_lose_nothing() {
    let home = Home::new();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let credentials = home.credentials();
            scope.spawn(move || credentials.store(&format!("r{number}.test"), &password("eg", "s")).unwrap());
        }
    });
    assert_eq!(home.read("config.json")["auths"].as_object().unwrap().len(), 8);
}

#[test]
fn a_link_to_the_file_stays_one() {
    let home = Home::new();
    std::fs::create_dir(home.path("elsewhere")).unwrap();
    home.write("elsewhere/real.json", &json!({}));
    std::os::unix::fs::symlink("elsewhere/real.json", home.path("config.json")).unwrap();
    home.credentials().store("r.test", &password("eg", "s")).unwrap();
    assert!(home.path("config.json").is_symlink());
    assert_eq!(home.read("elsewhere/real.json")["auths"]["r.test"]["auth"], "ZWc6cw==");
}
