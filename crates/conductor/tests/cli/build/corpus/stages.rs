//! `FROM`, and what goes from one stage to another.

use super::Case;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("one-stage", "FROM busybox\nRUN echo hi > /hi\n").holds("/hi", "hi\n"),
        Case::new(
            "two-stages",
            "FROM busybox AS first\nRUN echo made > /made; echo left > /left\nENV A=first\nFROM busybox\nCOPY --from=first /made /taken\n",
        )
        .holds("/taken", "made\n")
        .lacks("/left"),
        Case::new(
            "stage-by-number",
            "FROM busybox\nRUN echo 0 > /x\nFROM busybox\nRUN echo 1 > /x\nFROM busybox\nCOPY --from=0 /x /zero\nCOPY --from=1 /x /one\n",
        )
        .holds("/zero", "0\n")
        .holds("/one", "1\n"),
        Case::new(
            "stage-from-stage",
            "FROM busybox AS base\nENV FROM_BASE=yes\nRUN echo base > /base\nFROM base\nRUN echo $FROM_BASE > /next\n",
        )
        .holds("/base", "base\n")
        .holds("/next", "yes\n"),
        Case::new(
            "target",
            "FROM busybox AS wanted\nRUN echo wanted > /x\nFROM wanted AS other\nRUN false\n",
        )
        .options(&["--target", "wanted"])
        .holds("/x", "wanted\n"),
        Case::new(
            "unused-stage",
            "FROM busybox AS broken\nRUN false\nFROM busybox\nRUN echo ok > /x\n",
        )
        .holds("/x", "ok\n"),
        Case::new(
            "stage-names-know-no-case",
            "FROM busybox AS Build\nRUN echo x > /x\nFROM busybox\nCOPY --from=build /x /y\n",
        )
        .holds("/y", "x\n"),
        Case::new("from-scratch", "FROM scratch\nCOPY a /dir/a\nCMD [\"/dir/a\"]\n").file("a", "a").holds("/dir/a", "a"),
        Case::new("nothing-but-from", "FROM busybox\n"),
        Case::new("copy-from-an-image", "FROM scratch\nCOPY --from=busybox /etc/passwd /etc/group /from/\n"),
        Case::new(
            "platforms",
            "FROM --platform=$BUILDPLATFORM busybox\nARG TARGETOS\nARG TARGETARCH\nARG TARGETPLATFORM\nARG BUILDPLATFORM\nRUN echo $TARGETOS $TARGETARCH ${TARGETPLATFORM%/v*} ${BUILDPLATFORM%/v*} > /x\n",
        ),
        Case::new("arg-before-from", "ARG BASE=busybox\nFROM ${BASE}\nRUN echo \"[$BASE]\" > /x\n").holds("/x", "[]\n"),
        Case::new(
            "arg-from-before-from",
            "ARG VERSION=1\nFROM busybox\nARG VERSION\nRUN echo \"$VERSION\" > /x\nFROM busybox\nCOPY --from=0 /x /first\nRUN echo \"[$VERSION]\" > /second\n",
        )
        .holds("/first", "1\n")
        .holds("/second", "[]\n"),
        Case::new("arg-before-from-given", "ARG STAGE=one\nFROM busybox AS one\nRUN echo 1 > /x\nFROM busybox AS two\nRUN echo 2 > /x\nFROM ${STAGE}\n")
            .options(&["--build-arg", "STAGE=two"])
            .holds("/x", "2\n"),
        Case::new("another-context", "FROM busybox\nCOPY --from=other inner /taken\n")
            .file("below/inner", "inner")
            .options(&["--build-context", "other={context}/below"])
            .holds("/taken", "inner"),
        Case::new(
            "configuration-goes-along",
            "FROM busybox AS base\nENV A=1\nUSER alice\nWORKDIR /srv\nLABEL l=1\nEXPOSE 80\nVOLUME /v\nCMD [\"x\"]\nSTOPSIGNAL SIGINT\nFROM base\nENV B=2\nLABEL m=2\n",
        ),
        Case::new("no-such-stage", "FROM busybox\nCOPY --from=nowhere.invalid/none /x /x\n").fails(),
        Case::new("no-such-target", "FROM busybox AS a\n").options(&["--target", "b"]).fails(),
        Case::new("stages-in-parallel", "FROM busybox AS a\nRUN echo a > /a\nFROM busybox AS b\nRUN echo b > /b\nFROM busybox AS c\nCOPY --from=a /a /\nCOPY --from=b /b /\nFROM scratch\nCOPY --from=c /a /b /all/\n")
            .holds("/all/a", "a\n")
            .holds("/all/b", "b\n"),
    ]
}
