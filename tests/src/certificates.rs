//! An authority of a test's own, and what it has signed.

use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Made anew by each test with openssl, and gone with it: `authority.pem`, `server.pem` and `.key` for this machine,
/// `client.pem` and `.key`, and `stranger.pem`, an authority that has signed none of them.
pub struct Certificates {
    folder: TempDir,
}

const KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

impl Certificates {
    pub fn make() -> Self {
        let certificates = Self { folder: tempfile::tempdir().unwrap() };
        for name in ["authority", "stranger"] {
            let (key, own) = (format!("{name}.key"), format!("{name}.pem"));
            let who = format!("/CN={name} of a test");
            let own = ["-x509", "-days", "2", "-keyout", &key, "-out", &own, "-subj", &who];
            certificates.openssl("req", &[&KEY[..], &own].concat());
        }
        certificates
            .sign("server", "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n");
        certificates.sign("client", "extendedKeyUsage=clientAuth\n");
        certificates
    }

    fn sign(&self, name: &str, extensions: &str) {
        let file = |ending: &str| format!("{name}.{ending}");
        std::fs::write(self.path(&file("ext")), extensions).unwrap();
        let who = format!("/CN={name}");
        let (key, request, certificate, extensions) = (file("key"), file("csr"), file("pem"), file("ext"));
        self.openssl("req", &[&KEY[..], &["-keyout", &key, "-out", &request, "-subj", &who]].concat());
        let by = ["-CA", "authority.pem", "-CAkey", "authority.key", "-CAcreateserial"];
        let what = ["-req", "-days", "2", "-in", &request, "-out", &certificate, "-extfile", &extensions];
        self.openssl("x509", &[&what[..], &by].concat());
    }

    fn openssl(&self, command: &str, arguments: &[&str]) {
        let mut openssl = Command::new("openssl");
        let output = openssl.arg(command).args(arguments).current_dir(self.folder.path()).output();
        let output = output.expect("openssl is needed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }
}
