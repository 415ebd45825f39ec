//! Dockerfiles: read, told about when they are wrong, and otherwise expanded and advised upon.

#![no_main]

use dockerfile::{CheckInputs, Instruction};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let file = match dockerfile::parse(bytes) {
        Ok(file) => file,
        Err(fault) => {
            fault.render("Dockerfile", bytes);
            return;
        }
    };
    let escape = file.directives.escape;
    let variables = |name: &str| (name.len() % 2 == 1).then(|| format!("{name} 1"));
    for stage in &file.stages {
        let _ = stage.from.value.expand(escape, &variables);
        for instruction in &stage.instructions {
            assert!(instruction.span.first <= instruction.span.last);
            let _ = instruction.value.expand(escape, &variables);
            if let Instruction::OnBuild(trigger) = &instruction.value
                && escape == '\\'
            {
                let again = dockerfile::parse_trigger(trigger);
                assert!(again.is_ok(), "{trigger:?}: {again:?}");
            }
        }
    }
    dockerfile::check(&file, &CheckInputs { all_stages: true, experimental: true, ..CheckInputs::default() });
});
