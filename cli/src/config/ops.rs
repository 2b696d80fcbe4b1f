//! Where a role tells how it is.

use clap::Args;

#[derive(Args, Clone, Debug)]
pub struct OpsArgs {
    /// Address and port for /healthz and /readyz; for the cluster, not for clients
    #[arg(long, env = "SCRIPTORIUM_OPS_LISTEN", value_name = "HOST:PORT", default_value = "127.0.0.1:9787")]
    pub ops_listen: String,
}
