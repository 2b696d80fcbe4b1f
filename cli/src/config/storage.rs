//! Where jobs and recordings are kept.

use super::ConfigError;
use clap::Args;
use std::path::PathBuf;

#[derive(Args, Clone, Debug)]
pub struct StorageArgs {
    /// Folder for job state and uploaded recordings; made if missing, used by one server at a time [default:
    /// $XDG_DATA_HOME/scriptorium or ~/.local/share/scriptorium]
    #[arg(long, env = "SCRIPTORIUM_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

impl StorageArgs {
    /// The folder to use.
    ///
    /// # Errors
    /// None was named and there is no home folder.
    pub fn data_dir(&self) -> Result<PathBuf, ConfigError> {
        match &self.data_dir {
            Some(dir) => Ok(dir.clone()),
            None => default_data_dir().ok_or(ConfigError::NoHome),
        }
    }
}

/// The folder for data that the user's desktop settings name (XDG Base Directory Specification).
pub fn default_data_dir() -> Option<PathBuf> {
    user_folder("XDG_DATA_HOME", ".local/share")
}

/// The same for data that may be thrown away.
pub fn default_cache_dir() -> Option<PathBuf> {
    user_folder("XDG_CACHE_HOME", ".cache")
}

/// XDG: relative values are to be ignored.
#[expect(
    clippy::disallowed_methods,
    reason = "the configuration is the one place that reads the environment"
)]
fn user_folder(variable: &str, below_home: &str) -> Option<PathBuf> {
    let absolute = |path: std::ffi::OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    std::env::var_os(variable)
        .and_then(absolute)
        .or_else(|| std::env::var_os("HOME").and_then(absolute).map(|home| home.join(below_home)))
        .map(|base| base.join("scriptorium"))
}
