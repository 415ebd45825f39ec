//! What only changes the configuration.

use super::Case;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("cmd-exec", "FROM busybox\nCMD [\"echo\", \"a b\"]\n"),
        Case::new("cmd-shell", "FROM busybox\nCMD echo a  b | cat\n"),
        Case::new("cmd-twice", "FROM busybox\nCMD echo 1\nCMD [\"echo\", \"2\"]\n"),
        Case::new("cmd-empty", "FROM busybox\nCMD [\"x\"]\nCMD []\n"),
        Case::new("entrypoint-exec", "FROM busybox\nENTRYPOINT [\"echo\"]\nCMD [\"x\"]\n"),
        Case::new("entrypoint-shell", "FROM busybox\nENTRYPOINT exec top -b\n"),
        Case::new("entrypoint-after-cmd", "FROM busybox\nCMD [\"x\"]\nENTRYPOINT [\"echo\"]\n"),
        Case::new(
            "entrypoint-forgets-the-cmd-of-the-parent",
            "FROM parent-entrypoint-forgets-the-cmd-of-the-parent\nENTRYPOINT [\"echo\"]\n",
        )
        .parent("FROM busybox\nCMD [\"x\"]\n"),
        Case::new(
            "entrypoint-forgets-the-cmd-of-a-stage",
            "FROM busybox AS a\nCMD [\"x\"]\nFROM a\nENTRYPOINT [\"echo\"]\n",
        ),
        Case::new("entrypoint-empty", "FROM parent-entrypoint-empty\nENTRYPOINT []\n")
            .parent("FROM busybox\nENTRYPOINT [\"x\"]\nCMD [\"y\"]\n"),
        Case::new("json-that-is-none", "FROM busybox\nCMD ['echo', 'x']\n"),
        Case::new("workdir", "FROM busybox\nWORKDIR /a\nWORKDIR b\nWORKDIR c/../d\nRUN pwd > /x\n")
            .holds("/x", "/a/b/d\n"),
        Case::new("workdir-is-made", "FROM busybox\nUSER alice\nWORKDIR /made/here\n"),
        Case::new("workdir-is-there", "FROM busybox\nRUN mkdir -m 700 /there && chown 12:34 /there\nWORKDIR /there\n"),
        Case::new("workdir-with-slash", "FROM busybox\nWORKDIR /a/\nWORKDIR ./\n"),
        Case::new("user", "FROM busybox\nUSER alice\nUSER 12:34\n"),
        Case::new("user-with-group", "FROM busybox\nUSER alice:staff\n"),
        Case::new("stopsignal", "FROM busybox\nSTOPSIGNAL SIGQUIT\n"),
        Case::new("stopsignal-by-number", "FROM busybox\nSTOPSIGNAL 9\n"),
        Case::new("stopsignal-unknown", "FROM busybox\nSTOPSIGNAL SIGNONE\n").fails(),
        Case::new("expose", "FROM busybox\nEXPOSE 80 81/tcp 82/udp\nEXPOSE 90-92/udp 80/TCP\n"),
        Case::new("expose-nonsense", "FROM busybox\nEXPOSE abc\n").fails(),
        Case::new("volume", "FROM busybox\nVOLUME /a /b\nVOLUME [\"/c d\", \"/e\"]\n"),
        Case::new("volume-keeps-what-was-there", "FROM busybox\nRUN mkdir /v && echo x > /v/x\nVOLUME /v\n")
            .holds("/v/x", "x\n"),
        Case::new(
            "volume-keeps-what-comes-later",
            "FROM busybox\nVOLUME /v\nRUN mkdir -p /v && echo x > /v/x\nCOPY a /v/a\n",
        )
        .file("a", "a")
        .holds("/v/x", "x\n")
        .holds("/v/a", "a"),
        Case::new(
            "healthcheck",
            "FROM busybox\nHEALTHCHECK --interval=1m30s --timeout=3s --start-period=5s --retries=4 CMD [\"true\"]\n",
        ),
        Case::new("healthcheck-shell", "FROM busybox\nHEALTHCHECK CMD test -e /x || exit 1\n"),
        Case::new("healthcheck-start-interval", "FROM busybox\nHEALTHCHECK --start-interval=2s CMD true\n"),
        Case::new("healthcheck-none", "FROM busybox\nHEALTHCHECK CMD true\nHEALTHCHECK NONE\n"),
        Case::new("shell-is-kept", "FROM busybox\nSHELL [\"/bin/ash\", \"-c\"]\n"),
        Case::new("onbuild-is-kept", "FROM busybox\nONBUILD RUN echo later > /later\nONBUILD COPY . /src\n")
            .lacks("/later"),
        Case::new("onbuild-is-done", "FROM parent-onbuild-is-done\nRUN cat /src/a /later > /x\n")
            .parent("FROM busybox\nONBUILD COPY a /src/a\nONBUILD RUN echo later > /later\nONBUILD ENV DONE=yes\n")
            .file("a", "a\n")
            .holds("/x", "a\nlater\n"),
        Case::new("onbuild-of-onbuild", "FROM busybox\nONBUILD ONBUILD RUN true\n").fails(),
        Case::new("maintainer", "FROM busybox\nMAINTAINER Some One <one@example.org>\n"),
        Case::new(
            "all-of-it",
            "FROM busybox\nENV E=1\nLABEL l=1\nUSER 1\nWORKDIR /w\nEXPOSE 1\nVOLUME /v\nSTOPSIGNAL SIGHUP\nENTRYPOINT [\"e\"]\nCMD [\"c\"]\n",
        ),
    ]
}
