//! How the program ends, in numbers that scripts can match on.

use std::process::ExitCode;

/// The meaning of the exit codes; [`crate::args::EXIT_CODES`] tells the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Done,
    /// The job, or the server, failed.
    Failed,
    /// The command cannot be carried out as given.
    Usage,
    /// The transcript has gaps.
    Gaps,
    Unreachable,
    /// Ended by this signal.
    Signal(Signal),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Interrupt,
    Terminate,
}

impl Exit {
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Gaps => 3,
            Self::Unreachable => 4,
            // By custom of the shells 128 and the signal's number.
            Self::Signal(Signal::Interrupt) => 130,
            Self::Signal(Signal::Terminate) => 143,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
