//! `login` and `logout`: credentials for registries, in Docker's file or with its helpers.

use std::io::{IsTerminal, Read, Write, stderr, stdin};
use std::process::ExitCode;

use clap::Args;
use registry::{Client, Secret};
use sys::Calling;

use super::trust_args::{TrustArgs, failure};
use super::{Group, Verb};
use crate::context::Context;
use crate::error::{Failure, Outcome};
use crate::ui;

/// The registry of names without a domain.
const DEFAULT: &str = "docker.io";

/// Log in to a registry
#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    /// The password or token; it can be seen in the list of processes, so --password-stdin is better
    #[arg(short, long, value_name = "PASSWORD", conflicts_with = "password_stdin")]
    password: Option<String>,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
    /// The user
    #[arg(short, long, value_name = "USER")]
    username: Option<String>,
    #[command(flatten)]
    trust: TrustArgs,
    /// The registry (default docker.io)
    #[arg(value_name = "SERVER")]
    server: Option<String>,
}

impl Verb for LoginArgs {
    const NAME: &'static str = "login";
    const ABOUT: &'static str = "Log in to a registry";
    const USAGE: &'static str = "[OPTIONS] [SERVER]";
    const AFTER_HELP: &'static str =
        "Example:\n  pass show registry | conductor login -u me --password-stdin registry.example:5000";
    const GROUP: Group = Group::Image;

    fn run(self, context: &Context) -> Outcome {
        let server = server(self.server.as_deref());
        let user = match self.username {
            Some(user) => user,
            None if self.password_stdin => return Err(Failure::message("--password-stdin needs --username")),
            None => ask_name()?,
        };
        let password = match self.password {
            Some(password) => password,
            None if self.password_stdin => read_password()?,
            None => ask_password()?,
        };
        let recorder = context.recorder()?;
        let client = Client::new(context.registries(self.trust.tls_verify)?, &recorder);
        let login = client.login(server, &user, &Secret::new(password)).map_err(|error| failure(error, server))?;
        let what = if login.token { "a token" } else { "the password" };
        if login.kept_in.starts_with('/') {
            ui::remark(&format!(
                "warning: {what} is kept unencrypted in {}; a credential helper (credsStore) keeps it better",
                login.kept_in
            ));
        }
        if !login.checked {
            ui::remark(&format!("{server} is open to everybody and did not look at the password"));
        }
        ui::print_line("Login Succeeded").map(|()| ExitCode::SUCCESS)
    }
}

/// Log out from a registry
#[derive(Debug, Args)]
pub(crate) struct LogoutArgs {
    /// The registry (default docker.io)
    #[arg(value_name = "SERVER")]
    server: Option<String>,
}

impl Verb for LogoutArgs {
    const NAME: &'static str = "logout";
    const ABOUT: &'static str = "Log out from a registry";
    const USAGE: &'static str = "[SERVER]";
    const GROUP: Group = Group::Image;

    fn run(self, context: &Context) -> Outcome {
        let server = server(self.server.as_deref());
        let recorder = context.recorder()?;
        Client::new(context.registries(None)?, &recorder).logout(server)?;
        ui::print_line(&format!("Removing login credentials for {server}")).map(|()| ExitCode::SUCCESS)
    }
}

/// People give the address of a registry in the form in which they saw it.
fn server(asked: Option<&str>) -> &str {
    let asked = asked.unwrap_or(DEFAULT);
    let plain = asked.strip_prefix("https://").or_else(|| asked.strip_prefix("http://")).unwrap_or(asked);
    match plain.split('/').next().unwrap_or(plain) {
        "index.docker.io" | "registry-1.docker.io" => DEFAULT,
        host => host,
    }
}

fn read_password() -> Result<String, Failure> {
    let mut text = String::new();
    stdin().take(64 * 1024).read_to_string(&mut text).call(|| "read(stdin)")?;
    let password = text.trim_end_matches(['\r', '\n']).to_owned();
    if password.is_empty() {
        return Err(Failure::message("there is no password on standard input"));
    }
    Ok(password)
}

fn ask_name() -> Result<String, Failure> {
    if !stdin().is_terminal() {
        let failure = Failure::message("a name and a password are needed, and there is no terminal to ask on");
        return Err(failure.hint("use --username and --password-stdin"));
    }
    prompt("Username: ");
    let mut line = String::new();
    stdin().read_line(&mut line).call(|| "read(stdin)")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// The terminal shows nothing of what is typed and sends no signals, so it is put back as it was however this ends.
fn ask_password() -> Result<String, Failure> {
    if !stdin().is_terminal() {
        return Err(Failure::message("there is no terminal to ask for the password on").hint("use --password-stdin"));
    }
    prompt("Password: ");
    let raw = sys::pty::RawMode::enter(stdin())?;
    let mut typed = Typed::default();
    let ended = stdin().lock().bytes().map_while(Result::ok).find_map(|byte| typed.key(byte));
    drop(raw);
    ui::remark("");
    match ended {
        Some(true) => Ok(String::from_utf8_lossy(&typed.bytes).into_owned()),
        _ => Err(Failure::message("no password was given").code(130)),
    }
}

fn prompt(text: &str) {
    let _ = write!(stderr(), "{text}").and_then(|()| stderr().flush());
}

/// A line as it is typed on a terminal in raw mode.
#[derive(Debug, Default)]
struct Typed {
    bytes: Vec<u8>,
}

impl Typed {
    /// Takes a key; tells at the end whether the line counts.
    fn key(&mut self, byte: u8) -> Option<bool> {
        match byte {
            b'\r' | b'\n' => return Some(true),
            // Ctrl-c, ctrl-d, ctrl-\.
            3 | 4 | 28 => return Some(false),
            // Backspace takes a character, of as many bytes as it has; ctrl-u all.
            8 | 127 => while self.bytes.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {},
            21 => self.bytes.clear(),
            byte => self.bytes.push(byte),
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_typed_with_corrections_and_can_be_given_up() {
        let typed = |keys: &str| {
            let mut typed = Typed::default();
            let ended = keys.bytes().find_map(|byte| typed.key(byte));
            (ended, String::from_utf8(typed.bytes).unwrap())
        };
        assert_eq!(typed("secret\rmore"), (Some(true), "secret".to_owned()));
        assert_eq!(typed("aé\u{7f}b\r"), (Some(true), "ab".to_owned()));
        assert_eq!(typed("wrong\u{15}right\n"), (Some(true), "right".to_owned()));
        assert_eq!(typed("half\u{3}").0, Some(false));
    }

    #[test]
    fn a_registry_is_known_by_its_address_too() {
        assert_eq!(server(None), "docker.io");
        assert_eq!(server(Some("https://index.docker.io/v1/")), "docker.io");
        assert_eq!(server(Some("registry.example:5000")), "registry.example:5000");
        assert_eq!(server(Some("http://localhost:5000/")), "localhost:5000");
    }
}
