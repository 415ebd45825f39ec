//! What can go wrong with a registry: what could not be done ([`Error`]), and why ([`Fault`]).

use std::io;
use std::time::Duration;

use oci::Digest;

use crate::complaint::Complaint;
use crate::credentials::CredentialError;
use crate::url::UrlError;
use crate::wire::WireError;

/// Something that could not be done with a registry.
#[derive(Debug, thiserror::Error)]
#[error("cannot {task}")]
pub struct Error {
    /// What, as it follows "cannot".
    task: String,
    #[source]
    fault: Fault,
}

/// Why something could not be done with a registry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// A rule of the configuration forbids it.
    #[error("{registry} is blocked by the rule about {prefix} in registries.conf")]
    Blocked {
        /// The registry.
        registry: String,
        /// The prefix of the rule.
        prefix: String,
    },
    /// The name can be asked of no registry.
    #[error("{0:?} is not the name of a registry: say HOST or HOST:PORT")]
    Host(String),
    /// An address is none, or leads nowhere.
    #[error("{0}")]
    Link(String),
    /// The credentials could not be read or kept.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    /// No answer came.
    #[error("{server} cannot be asked")]
    Wire {
        /// The server.
        server: String,
        /// Why.
        source: WireError,
    },
    /// The registry has nothing of the kind.
    #[error("{server} does not have it{complaint}")]
    NotFound {
        /// The server.
        server: String,
        /// What it says.
        complaint: Complaint,
    },
    /// The registry wants to know who we are.
    #[error("{server} wants a login, or there is nothing of that name{complaint}")]
    Unauthorized {
        /// The server.
        server: String,
        /// What it says.
        complaint: Complaint,
    },
    /// The registry knows who we are and does not like it, or it is not taken.
    #[error("{server} does not take the credentials of {user}{complaint}")]
    Denied {
        /// The server.
        server: String,
        /// Who we are.
        user: String,
        /// What it says.
        complaint: Complaint,
    },
    /// The registry refuses.
    #[error("{server} answers {status}{complaint}")]
    Refused {
        /// The server.
        server: String,
        /// The status of HTTP.
        status: u16,
        /// What it says.
        complaint: Complaint,
    },
    /// The registry wants to be left alone for a while.
    #[error("{server} answers {status} and wants to be asked again in {} seconds{complaint}", .after.as_secs())]
    Busy {
        /// The server.
        server: String,
        /// The status of HTTP.
        status: u16,
        /// When it may be asked again.
        after: Duration,
        /// What it says.
        complaint: Complaint,
    },
    /// A token could not be had.
    #[error("no token is to be had from {realm}")]
    Token {
        /// The token server.
        realm: String,
        /// Why.
        source: Box<Self>,
    },
    /// A secret would travel in the clear.
    #[error("{server} would have credentials sent to {to} without TLS")]
    InTheClear {
        /// Who asks for it.
        server: String,
        /// Where they would go.
        to: String,
    },
    /// One address leads to the next.
    #[error("{server} leads from one address to the other more than {limit} times")]
    Redirects {
        /// The server.
        server: String,
        /// How often we follow.
        limit: u32,
    },
    /// An address leads from TLS to none.
    #[error("{server} leads to {to}, which is without TLS")]
    Downgrade {
        /// The server.
        server: String,
        /// Where it leads.
        to: String,
    },
    /// An address is none.
    #[error("{server} leads nowhere")]
    Address {
        /// The server.
        server: String,
        /// What is wrong.
        source: UrlError,
    },
    /// An answer lacks something, or has it in a form that cannot be read.
    #[error("the answer of {server} {what}")]
    Answer {
        /// The server.
        server: String,
        /// What is wrong, as it follows the subject.
        what: String,
    },
    /// An answer broke off.
    #[error("the answer of {server} breaks off")]
    Broken {
        /// The server.
        server: String,
        /// Why.
        source: io::Error,
    },
    /// An answer is longer than such an answer may be.
    #[error("the answer of {server} is longer than {limit} bytes")]
    TooLong {
        /// The server.
        server: String,
        /// The bound.
        limit: u64,
    },
    /// The bytes are others than were asked for.
    #[error("{server} sends something else: {actual} in place of {expected}")]
    Digest {
        /// The server.
        server: String,
        /// What was asked for.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// There are more or fewer bytes than there should be.
    #[error("{server} sends {actual} in place of {expected} bytes")]
    Length {
        /// The server.
        server: String,
        /// How many there should be.
        expected: u64,
        /// How many came, or at least came.
        actual: u64,
    },
    /// A manifest is of a form that Docker gave up in 2016.
    #[error("{server} has it as a manifest of Docker's schema 1 only, which is not taken: it must be pushed anew")]
    Schema1 {
        /// The server.
        server: String,
    },
    /// What is to be sent could not be read.
    #[error("what is to be sent cannot be read")]
    Source(#[source] io::Error),
    /// What is to be sent is not what it was said to be.
    #[error("what is to be sent has {actual} in place of {expected} bytes")]
    SourceLength {
        /// How many bytes were announced.
        expected: u64,
        /// How many there were.
        actual: u64,
    },
}

impl Error {
    pub(crate) fn new(task: impl Into<String>, fault: Fault) -> Self {
        Self { task: task.into(), fault }
    }

    /// Returns why.
    pub fn fault(&self) -> &Fault {
        &self.fault
    }

    pub(crate) fn into_fault(self) -> Fault {
        self.fault
    }

    /// Tells whether a registry was asked and does not have it.
    pub fn is_not_found(&self) -> bool {
        matches!(self.fault, Fault::NotFound { .. })
    }

    /// Tells whether a login could help.
    pub fn wants_login(&self) -> bool {
        let fault = match &self.fault {
            Fault::Token { source, .. } => source,
            other => other,
        };
        matches!(fault, Fault::Unauthorized { .. } | Fault::Denied { .. })
    }

    /// Tells whether it would go on with a server that proves nothing.
    pub fn wants_trust(&self) -> bool {
        matches!(&self.fault, Fault::Wire { source: WireError::Tls(_) | WireError::Certificate(_), .. })
    }
}

impl From<Error> for io::Error {
    /// An error in the midst of a stream; it can be had back by `downcast`.
    fn from(error: Error) -> Self {
        Self::other(error)
    }
}

impl Fault {
    /// Tells whether the same may well go better in a moment.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Wire { source, .. } => source.is_passing(),
            Self::Broken { .. } => true,
            Self::Refused { status, .. } => crate::retry::is_passing(*status),
            Self::Token { source, .. } => source.is_passing(),
            _ => false,
        }
    }
}
