//! `ARG`, `ENV`, `LABEL`, and what is expanded where.

use super::Case;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("env-forms", "FROM busybox\nENV A=1 B=\"two words\" C=three\\ words D='single $A'\nENV OLD the rest of the line\nRUN env | grep -E '^(A|B|C|D|OLD)=' | sort > /x\n")
            .holds("/x", "A=1\nB=two words\nC=three words\nD=single $A\nOLD=the rest of the line\n"),
        Case::new("env-of-one-line-is-set-at-once", "FROM busybox\nENV abc=hello\nENV abc=bye def=$abc\nENV ghi=$abc\nRUN echo $abc $def $ghi > /x\n")
            .holds("/x", "bye hello bye\n"),
        Case::new("env-replaces", "FROM busybox\nENV A=1\nENV B=2\nENV A=3\nENV PATH=/opt/bin:$PATH\n"),
        Case::new("env-with-an-empty-value", "FROM busybox\nENV A= B=\"\"\nRUN env | grep -cE '^(A|B)=$' > /x\n").holds("/x", "2\n"),
        Case::new("defaults", "FROM busybox\nENV set=s empty=\nENV a=${set:-d} b=${unset:-d} c=${empty:-d} d=${set:+w} e=${unset:+w} f=${empty:+w}\nRUN echo \"$a,$b,$c,$d,$e,$f\" > /x\n")
            .holds("/x", "s,d,d,w,,\n"),
        Case::new("defaults-without-colon", "FROM busybox\nENV set=s empty=\nENV a=${set-d} b=${unset-d} c=${empty-d} d=${set+w} e=${unset+w} f=${empty+w}\nRUN echo \"$a,$b,$c,$d,$e,$f\" > /x\n")
            .holds("/x", "s,d,,w,,w\n"),
        Case::new("nested-default", "FROM busybox\nENV b=inner\nENV x=${a:-${b}-${c:-deep}}\nRUN echo $x > /x\n").holds("/x", "inner-deep\n"),
        Case::new("required-and-missing", "FROM busybox\nENV x=${missing:?is needed}\n").fails(),
        Case::new("patterns", "FROM busybox\nENV v=foobarbaz\nENV a=${v#f*b} b=${v##f*b} c=${v%b*} d=${v%%b*} e=${v/ba/X} f=${v//ba/X}\nRUN echo $a $b $c $d $e $f > /x\n")
            .holds("/x", "arbaz az foobar foo fooXrbaz fooXrXz\n"),
        Case::new("not-expanded", "FROM busybox\nENV A=a\nENV X=\\$A Y='$A' Z=\"\\$A\"\nRUN env | grep -E '^[XYZ]=' | sort > /x\n")
            .holds("/x", "X=$A\nY=$A\nZ=$A\n"),
        Case::new(
            "expanded-everywhere",
            "FROM busybox\nENV d=dir f=file u=alice p=8080 s=SIGUSR1 k=key\nADD $f /$d/added\nCOPY ${f} /$d/copied\nWORKDIR /$d/work\nUSER $u\nEXPOSE $p ${p}/udp\nVOLUME /$d/volume\nSTOPSIGNAL $s\nLABEL $k=$d x.$k=\"$f $u\"\n",
        )
        .file("file", "file")
        .holds("/dir/added", "file")
        .holds("/dir/copied", "file"),
        Case::new("not-expanded-in-commands", "FROM busybox\nENV A=a\nCMD echo $A\nENTRYPOINT [\"echo\", \"$A\"]\nHEALTHCHECK CMD echo $A\n"),
        Case::new("arg-forms", "FROM busybox\nARG A\nARG B=default\nARG C=\"two words\" D=${B}-d\nRUN echo \"[$A] [$B] [$C] [$D]\" > /x\n")
            .holds("/x", "[] [default] [two words] [default-d]\n"),
        Case::new("arg-given", "FROM busybox\nARG A\nARG B=default\nRUN echo \"$A $B\" > /x\n")
            .options(&["--build-arg", "A=1", "--build-arg", "B=two words"])
            .holds("/x", "1 two words\n"),
        Case::new("arg-not-before-its-line", "FROM busybox\nRUN echo \"[$A]\" > /before\nARG A=1\nRUN echo \"[$A]\" > /after\n")
            .options(&["--build-arg", "A=2"])
            .holds("/before", "[]\n")
            .holds("/after", "[2]\n"),
        Case::new("env-wins-over-arg", "FROM busybox\nENV A=env\nARG A=arg\nRUN echo $A > /x\n").options(&["--build-arg", "A=given"]).holds("/x", "env\n"),
        Case::new("arg-into-env", "FROM busybox\nARG V=1\nENV V=${V:-2}\nRUN echo $V > /x\n").options(&["--build-arg", "V=3"]).holds("/x", "3\n"),
        Case::new("arg-goes-on-in-stages-made-of-its-own", "FROM busybox AS a\nARG A=1\nRUN echo $A > /x\nFROM a\nRUN echo \"[$A]\" > /y\n").holds("/x", "1\n").holds("/y", "[1]\n"),
        Case::new("proxies-need-no-arg", "FROM busybox\nRUN echo \"$HTTP_PROXY $no_proxy\" > /x\n")
            .options(&["--build-arg", "HTTP_PROXY=http://proxy.invalid", "--build-arg", "no_proxy=a,b"])
            .holds("/x", "http://proxy.invalid a,b\n"),
        Case::new("label-forms", "FROM busybox\nLABEL a=1 \"b c\"=\"two words\" \\\n      d='single' e=\"li\\\nne\"\nLABEL old the rest of it\nLABEL a=2\n"),
        Case::new("labels-given", "FROM busybox\nLABEL a=1 b=2\n").options(&["--label", "b=3", "--label", "c=4"]),
    ]
}
