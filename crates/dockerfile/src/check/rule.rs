//! The rules by the names that everybody knows them by.

/// A rule of good style.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// Names of stages are in lower case.
    StageNameCasing,
    /// `FROM` and `AS` are written alike.
    FromAsCasing,
    /// An instruction does not go on after an empty line.
    NoEmptyContinuation,
    /// All instructions are in capitals, or none is.
    ConsistentInstructionCasing,
    /// No two stages have one name.
    DuplicateStageName,
    /// No stage is called as something that exists already.
    ReservedStageName,
    /// `CMD` and `ENTRYPOINT` name their words.
    JsonArgsRecommended,
    /// `MAINTAINER` is a thing of the past.
    MaintainerDeprecated,
    /// `FROM` names variables that are declared.
    UndefinedArgInFrom,
    /// The first `WORKDIR` is an absolute path.
    WorkdirRelativePath,
    /// Variables are set before they are used.
    UndefinedVar,
    /// Of what counts once, there is one.
    MultipleInstructionsDisallowed,
    /// `ENV` and `LABEL` have an equals sign.
    LegacyKeyValueFormat,
    /// The image is for the platform that was asked for.
    InvalidBaseImagePlatform,
    /// The platform that is meant anyway goes without saying.
    RedundantTargetPlatform,
    /// Secrets are not kept in the image.
    SecretsUsedInArgOrEnv,
    /// `FROM` works with the defaults of its variables.
    InvalidDefaultArgInFrom,
    /// The platform is not nailed down in the file.
    FromPlatformFlagConstDisallowed,
    /// What is copied is not left out of the context.
    CopyIgnoredFile,
    /// A comment above a stage or variable begins with its name.
    InvalidDefinitionDescription,
    /// Protocols of ports are in lower case.
    ExposeProtoCasing,
    /// Ports of the host are no business of the image.
    ExposeInvalidFormat,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 22] = [
        Self::StageNameCasing,
        Self::FromAsCasing,
        Self::NoEmptyContinuation,
        Self::ConsistentInstructionCasing,
        Self::DuplicateStageName,
        Self::ReservedStageName,
        Self::JsonArgsRecommended,
        Self::MaintainerDeprecated,
        Self::UndefinedArgInFrom,
        Self::WorkdirRelativePath,
        Self::UndefinedVar,
        Self::MultipleInstructionsDisallowed,
        Self::LegacyKeyValueFormat,
        Self::InvalidBaseImagePlatform,
        Self::RedundantTargetPlatform,
        Self::SecretsUsedInArgOrEnv,
        Self::InvalidDefaultArgInFrom,
        Self::FromPlatformFlagConstDisallowed,
        Self::CopyIgnoredFile,
        Self::InvalidDefinitionDescription,
        Self::ExposeProtoCasing,
        Self::ExposeInvalidFormat,
    ];

    /// Returns the name, as `# check=skip=` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::StageNameCasing => "StageNameCasing",
            Self::FromAsCasing => "FromAsCasing",
            Self::NoEmptyContinuation => "NoEmptyContinuation",
            Self::ConsistentInstructionCasing => "ConsistentInstructionCasing",
            Self::DuplicateStageName => "DuplicateStageName",
            Self::ReservedStageName => "ReservedStageName",
            Self::JsonArgsRecommended => "JSONArgsRecommended",
            Self::MaintainerDeprecated => "MaintainerDeprecated",
            Self::UndefinedArgInFrom => "UndefinedArgInFrom",
            Self::WorkdirRelativePath => "WorkdirRelativePath",
            Self::UndefinedVar => "UndefinedVar",
            Self::MultipleInstructionsDisallowed => "MultipleInstructionsDisallowed",
            Self::LegacyKeyValueFormat => "LegacyKeyValueFormat",
            Self::InvalidBaseImagePlatform => "InvalidBaseImagePlatform",
            Self::RedundantTargetPlatform => "RedundantTargetPlatform",
            Self::SecretsUsedInArgOrEnv => "SecretsUsedInArgOrEnv",
            Self::InvalidDefaultArgInFrom => "InvalidDefaultArgInFrom",
            Self::FromPlatformFlagConstDisallowed => "FromPlatformFlagConstDisallowed",
            Self::CopyIgnoredFile => "CopyIgnoredFile",
            Self::InvalidDefinitionDescription => "InvalidDefinitionDescription",
            Self::ExposeProtoCasing => "ExposeProtoCasing",
            Self::ExposeInvalidFormat => "ExposeInvalidFormat",
        }
    }

    /// Returns what the rule asks for.
    pub fn description(self) -> &'static str {
        match self {
            Self::StageNameCasing => "names of stages are written in lower case",
            Self::FromAsCasing => "AS is written as FROM is, in capitals or not",
            Self::NoEmptyContinuation => "an instruction that goes on after an empty line is one day an error",
            Self::ConsistentInstructionCasing => "all instructions are written in capitals, or none is",
            Self::DuplicateStageName => "each stage has a name of its own",
            Self::ReservedStageName => "scratch and context stand for something else already",
            Self::JsonArgsRecommended => "a command in JSON gets signals itself, where a shell would keep them",
            Self::MaintainerDeprecated => "the author of an image is told by a label",
            Self::UndefinedArgInFrom => "FROM knows only what an ARG above the first FROM declares",
            Self::WorkdirRelativePath => "a relative WORKDIR depends on where the base image happens to be",
            Self::UndefinedVar => "a variable has a value before it is used",
            Self::MultipleInstructionsDisallowed => {
                "of several CMD, ENTRYPOINT or HEALTHCHECK only the last one counts"
            }
            Self::LegacyKeyValueFormat => "a name and its value are joined by an equals sign",
            Self::InvalidBaseImagePlatform => "the base image is for the platform that is built for",
            Self::RedundantTargetPlatform => "TARGETPLATFORM is the platform of a stage that names none",
            Self::SecretsUsedInArgOrEnv => "what ARG and ENV hold can be read by whoever has the image",
            Self::InvalidDefaultArgInFrom => "a build without arguments has an image to start from",
            Self::FromPlatformFlagConstDisallowed => "the platform is chosen by who builds, or by a variable",
            Self::CopyIgnoredFile => "what .dockerignore leaves out cannot be copied",
            Self::InvalidDefinitionDescription => {
                "a comment right above a stage or variable describes it, and begins with its name"
            }
            Self::ExposeProtoCasing => "protocols are written in lower case",
            Self::ExposeInvalidFormat => "EXPOSE names ports of the container, and nothing of the host",
        }
    }

    /// Returns where more is said about it.
    pub fn url(self) -> String {
        let mut slug = String::new();
        let name = self.name().replace("JSON", "Json");
        for c in name.chars() {
            if c.is_ascii_uppercase() && !slug.is_empty() {
                slug.push('-');
            }
            slug.push(c.to_ascii_lowercase());
        }
        format!("https://docs.docker.com/reference/build-checks/{slug}/")
    }

    /// Tells whether the rule speaks only when asked to.
    pub fn is_experimental(self) -> bool {
        matches!(self, Self::CopyIgnoredFile | Self::InvalidDefinitionDescription)
    }
}
