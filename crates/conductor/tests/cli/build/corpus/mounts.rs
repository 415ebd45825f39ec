//! `RUN --mount`.

use super::Case;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("bind-the-context", "FROM busybox\nRUN --mount=type=bind,target=/ctx cat /ctx/a > /x\n").file("a", "a").holds("/x", "a").lacks("/ctx/a"),
        Case::new("bind-is-the-usual-type", "FROM busybox\nRUN --mount=source=d/a,target=/m/a cat /m/a > /x\n").file("d/a", "a").holds("/x", "a"),
        Case::new("bind-is-read-only", "FROM busybox\nRUN --mount=type=bind,target=/ctx ! touch /ctx/b\n").file("a", "a"),
        Case::new("bind-for-writing-forgets", "FROM busybox\nRUN --mount=type=bind,target=/ctx,rw echo b > /ctx/a && cat /ctx/a > /x\nRUN --mount=type=bind,target=/ctx cat /ctx/a > /y\n").file("a", "a").holds("/x", "b\n").holds("/y", "a"),
        Case::new("bind-a-stage", "FROM busybox AS other\nRUN mkdir /d && echo made > /d/x\nFROM busybox\nRUN --mount=type=bind,from=other,source=/d,target=/m cp /m/x /x\n").holds("/x", "made\n"),
        Case::new("bind-below-the-working-directory", "FROM busybox\nWORKDIR /srv\nRUN --mount=type=bind,target=here cat here/a > /x\n").file("a", "a").holds("/x", "a"),
        Case::new("cache-is-kept-and-not-in-the-image", "FROM busybox\nRUN --mount=type=cache,target=/c echo 1 > /c/x\nRUN --mount=type=cache,target=/c cat /c/x > /y\n").holds("/y", "1\n").lacks("/c/x"),
        Case::new("caches-are-told-apart-by-id", "FROM busybox\nRUN --mount=type=cache,id=told-a,target=/c echo a > /c/x\nRUN --mount=type=cache,id=told-b,target=/c ls -A /c > /b\nRUN --mount=type=cache,id=told-a,target=/d cat /d/x > /a\n").holds("/a", "a\n").holds("/b", ""),
        Case::new("cache-owner-and-mode", "FROM busybox\nRUN --mount=type=cache,id=owned,target=/c,uid=1000,gid=50,mode=0700 stat -c '%u %g %a' /c > /x\n").holds("/x", "1000 50 700\n"),
        Case::new("cache-from-a-stage", "FROM busybox AS seed\nRUN mkdir /s && echo seed > /s/x\nFROM busybox\nRUN --mount=type=cache,id=seeded,from=seed,source=/s,target=/c cat /c/x > /y\n").holds("/y", "seed\n"),
        Case::new("tmpfs", "FROM busybox\nRUN --mount=type=tmpfs,target=/t echo x > /t/x && grep -c ' /t tmpfs' /proc/mounts > /y\n").holds("/y", "1\n").lacks("/t/x"),
        Case::new("secret", "FROM busybox\nRUN --mount=type=secret,id=token cat /run/secrets/token > /x\nRUN --mount=type=secret,id=token,target=/s/t,mode=0440,uid=1000 stat -c '%u %a' /s/t > /y && cat /s/t >> /y\n")
            .file("secret.txt", "hidden\n")
            .options(&["--secret", "id=token,src={context}/secret.txt"])
            .holds("/x", "hidden\n")
            .holds("/y", "1000 440\nhidden\n")
            .lacks("/run/secrets/token"),
        Case::new("secret-in-the-environment", "FROM busybox\nRUN --mount=type=secret,id=token,env=TOKEN echo $TOKEN > /x\nRUN echo \"[$TOKEN]\" > /y\n")
            .file("secret.txt", "hidden")
            .options(&["--secret", "id=token,src={context}/secret.txt"])
            .ours_alone("it knows no env= of secrets")
            .holds("/x", "hidden\n")
            .holds("/y", "[]\n"),
        Case::new("secret-that-is-not-there", "FROM busybox\nRUN --mount=type=secret,id=token ls /run/secrets/token || echo none > /x\n").holds("/x", "none\n"),
        Case::new("secret-that-must-be-there", "FROM busybox\nRUN --mount=type=secret,id=token,required true\n").fails(),
        Case::new("several-mounts", "FROM busybox\nRUN --mount=type=bind,target=/ctx --mount=type=tmpfs,target=/t --mount=type=cache,target=/c cp /ctx/a /t/a && cp /t/a /c/a && cp /c/a /x\n").file("a", "a").holds("/x", "a"),
        Case::new("mount-points-do-not-stay", "FROM busybox\nRUN --mount=type=cache,target=/made/for/it true\nRUN --mount=type=tmpfs,target=/tmp touch /tmp/x\n").lacks("/tmp/x").lacks("/made"),
        Case::new("expanded-in-a-mount", "FROM busybox\nARG WHERE=/c\nRUN --mount=type=tmpfs,target=${WHERE} grep -c ' /c tmpfs' /proc/mounts > /x\n").holds("/x", "1\n"),
    ]
}
