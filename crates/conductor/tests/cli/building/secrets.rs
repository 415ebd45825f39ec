//! Secrets and agents: there for a command, and nowhere else.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;

use super::{build, context, told};
use crate::busybox;

const FILE: &str = "FROM busybox\n\
    RUN --mount=type=secret,id=file cp /run/secrets/file /dev/null && [ $(stat -c '%a' /run/secrets/file) = 400 ] && [ $(cat /run/secrets/file | wc -c) = 28 ]\n\
    RUN --mount=type=secret,id=file,target=/etc/token,mode=0440,uid=3,gid=4 [ $(stat -c '%a%u%g' /etc/token) = 44034 ]\n\
    RUN --mount=type=secret,id=word,env=WORD [ \"${#WORD}\" = 27 ] && ! [ -e /run/secrets/word ]\n\
    RUN ! [ -s /run/secrets/file ] && ! [ -s /etc/token ] && [ -z \"$WORD\" ]\n\
    RUN --mount=type=secret,id=missing ! [ -e /run/secrets/missing ]\n\
    RUN --mount=type=secret,id=file false || true\n";

#[test]
fn secrets_are_in_no_byte_of_what_is_left() {
    let sandbox = busybox();
    let (file_secret, word_secret) = ("file-secret-7d1f0a9c3b5e-zzz", "word-secret-94c1e2d8f6a0-zz");
    let directory = context(
        &sandbox,
        "secret",
        &[("Dockerfile", FILE), ("failing", "FROM busybox\nRUN --mount=type=secret,id=word,env=W sleep 0.2; false\n")],
    );
    let token = sandbox.work().join("token");
    std::fs::write(&token, file_secret).unwrap();
    let secret = format!("id=file,src={}", token.display());
    let words = ["-t", "a", "--secret", &secret, "--secret", "id=word,env=WORD_OF_OURS"];
    let said = build(&sandbox, &directory, &words).env("WORD_OF_OURS", word_secret).run().success().stderr;
    let failing = directory.join("failing");
    let failed =
        build(&sandbox, &directory, &["-f", failing.to_str().unwrap(), "--secret", "id=word,env=WORD_OF_OURS"]);
    let failed = failed.env("WORD_OF_OURS", word_secret).fails(1);
    std::fs::remove_file(&token).unwrap();
    let documents = sandbox.conductor(["history", "--no-trunc", "a"]).ok() + &sandbox.conductor(["inspect", "a"]).ok();
    for secret in [file_secret, word_secret] {
        assert!(!said.contains(secret) && !failed.contains(secret) && !documents.contains(secret));
        let search = testkit::Conductor::new("grep")
            .args(["-rla", secret])
            .args([sandbox.root(), sandbox.state(), sandbox.work()])
            .run();
        assert_eq!(search.stdout, "", "the secret was left somewhere");
    }
    // What a step with secrets made is found again with other ones.
    std::fs::write(&token, "other").unwrap();
    let again = build(&sandbox, &directory, &words).env("WORD_OF_OURS", "other").run().success().stderr;
    assert_eq!(again.matches("CACHED").count(), 6, "{again}");
    sandbox.assert_clean();
}

#[test]
fn a_command_speaks_with_the_agent_it_was_given() {
    let sandbox = busybox();
    let socket = sandbox.work().join("agent");
    let listener = UnixListener::bind(&socket).unwrap();
    let agent = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut asked = [0; 4];
        client.read_exact(&mut asked).unwrap();
        client.write_all(b"pong").unwrap();
        asked
    });
    // Perl needs nothing but its libraries to speak to a socket.
    let tools = context(&sandbox, "tools", &[]);
    let script = format!("cd {tools:?}; cp -L $(command -v perl) $(ldd $(command -v perl) | grep -o '/[^ ]*') .");
    testkit::Conductor::new("sh").args(["-ec", &script]).run().success();
    let say = "socket(S, 1, 1, 0) && connect(S, pack(\"Sa108\", 1, $ENV{SSH_AUTH_SOCK})) or die $!; syswrite(S, \"ping\"); \
               sysread(S, $answer, 4); $answer eq \"pong\" or die $answer";
    let file = format!(
        "FROM busybox\nUSER 1000\nRUN --mount=type=ssh,uid=1000,mode=0600 --mount=from=tools,target=/t \
         [ \"$SSH_AUTH_SOCK\" = /run/buildkit/ssh_agent.0 ] && [ $(stat -c %a%u $SSH_AUTH_SOCK) = 6001000 ] && \
         LD_LIBRARY_PATH=/t /t/ld-linux*.so* /t/perl -e '{say}'\nRUN --mount=type=ssh,id=none ! [ -e /run/buildkit/ssh_agent.0 ]\n"
    );
    let directory = context(&sandbox, "agent-build", &[("Dockerfile", &file)]);
    let tools = format!("tools={}", tools.display());
    told(&sandbox, &directory, &["--ssh", &format!("default={}", socket.display()), "--build-context", &tools]);
    assert_eq!(&agent.join().unwrap(), b"ping");
    sandbox.assert_clean();
}
