//! The certificate of a listener as it is at the moment. New files are in force for whoever connects from then on; who is
//! connected is not concerned. Files that cannot be used change nothing.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;

use super::files::{self, TlsError};
use super::{TlsFiles, read_fingerprint};
use crate::kept_file::{self, Stamp};

/// How long after a change the files are read: a key and its certificate are not written in one go.
const SETTLE: Duration = Duration::from_millis(100);

/// The certificate of a listener, and what it asks of clients.
#[derive(Debug)]
pub(crate) struct LiveTls {
    files: TlsFiles,
    state: RefCell<State>,
}

#[derive(Debug)]
struct State {
    config: Arc<ServerConfig>,
    /// Of the certificate and of the key.
    stamp: [Option<Stamp>; 2],
}

impl LiveTls {
    /// Reads the files.
    ///
    /// # Errors
    /// One of them cannot be used.
    pub(crate) fn new(files: &TlsFiles) -> Result<Rc<LiveTls>, TlsError> {
        // First the stamp: what changes after it is seen the next time.
        let stamp = files.paths().map(kept_file::stamp);
        Ok(Rc::new(LiveTls {
            state: RefCell::new(State {
                config: files::load(files)?,
                stamp,
            }),
            files: files.clone(),
        }))
    }

    /// What is spoken with who connects now.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.state.borrow().config.clone()
    }

    /// Reads the files again if they have changed.
    fn refresh(&self) {
        let stamp = self.files.paths().map(kept_file::stamp);
        if stamp == self.state.borrow().stamp {
            return;
        }
        self.state.borrow_mut().stamp = stamp;
        let certificate = self.files.certificate.display();
        match files::load(&self.files) {
            Ok(config) => {
                self.state.borrow_mut().config = config;
                match read_fingerprint(&self.files.certificate) {
                    Ok(fingerprint) => {
                        tracing::info!(%certificate, %fingerprint, "the certificate is read again; who connects from now on gets it");
                    }
                    Err(error) => tracing::warn!(%error, "the certificate was changed again"),
                }
            }
            Err(error) => {
                tracing::error!(%error, "the new certificate cannot be used; the old one stays in force");
            }
        }
    }

    /// Reads the files again whenever they have changed. Never ends.
    pub(crate) async fn keep_fresh(&self) {
        let files = self.files.paths().map(PathBuf::from);
        kept_file::keep_fresh("the certificate", &files, SETTLE, || self.refresh()).await;
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::make;
    use super::*;

    #[test]
    fn new_files_are_in_force_and_broken_ones_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let files = TlsFiles {
            certificate: folder.path().join("certificate.pem"),
            key: folder.path().join("key.pem"),
        };
        assert!(LiveTls::new(&files).is_err());
        make(&files.certificate, &files.key, &[], false).unwrap();
        let live = LiveTls::new(&files).unwrap();
        let first = live.config();
        live.refresh();
        assert!(Arc::ptr_eq(&first, &live.config()), "nothing has changed");
        let key = fs::read(&files.key).unwrap();
        make(&files.certificate, &files.key, &[], true).unwrap();
        fs::write(&files.key, key).unwrap();
        live.refresh();
        assert!(Arc::ptr_eq(&first, &live.config()), "the key is another's");
        make(&files.certificate, &files.key, &[], true).unwrap();
        live.refresh();
        assert!(!Arc::ptr_eq(&first, &live.config()));
    }
}
