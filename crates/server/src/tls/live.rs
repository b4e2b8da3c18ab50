//! The certificate of a listener, and whose it accepts, as they are at the moment. New files are in force for whoever
//! connects from then on; of those who are connected, only whoever has shown a certificate of an authority that is no longer
//! there is concerned. Files that cannot be used change nothing.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;

use super::clients::{self, Chain, Clients, Wanted};
use super::files::{self, Loaded, TlsError};
use super::{TlsFiles, read_fingerprint};
use crate::kept_file::{self, Stamp};

/// How long after a change the files are read: a key and its certificate are not written in one go.
const SETTLE: Duration = Duration::from_millis(100);

/// The certificate of a listener, and what it asks of clients.
#[derive(Debug)]
pub(crate) struct LiveTls {
    files: TlsFiles,
    wanted: Wanted,
    state: RefCell<State>,
}

#[derive(Debug)]
struct State {
    loaded: Loaded,
    /// Of each file.
    stamps: Vec<Option<Stamp>>,
}

impl LiveTls {
    /// Reads the files.
    ///
    /// # Errors
    /// One of them cannot be used.
    pub(crate) fn new(files: &TlsFiles, wanted: Wanted) -> Result<Rc<LiveTls>, TlsError> {
        // First the stamps: what changes after them is seen the next time.
        let stamps = stamps(files);
        Ok(Rc::new(LiveTls {
            state: RefCell::new(State {
                loaded: files::load(files, &wanted)?,
                stamps,
            }),
            files: files.clone(),
            wanted,
        }))
    }

    /// What is spoken with who connects now.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.state.borrow().loaded.config.clone()
    }

    fn clients(&self) -> Option<Arc<Clients>> {
        self.state.borrow().loaded.clients.clone()
    }

    /// Whether clients must show a certificate.
    pub(crate) fn asks_for_certificate(&self) -> bool {
        self.files.ask_for_certificate()
    }

    /// Whether a certificate that was accepted would be so again.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn check(&self, chain: &Chain, date: SystemTime) -> Result<(), String> {
        let Some(clients) = self.clients() else {
            return Err("certificates are not asked for here any more".to_owned());
        };
        clients.check(chain, date).map_err(|error| match &error {
            rustls::Error::InvalidCertificate(error) => clients::described(error).to_string(),
            error => error.to_string(),
        })
    }

    /// Reads the files again if they have changed. Whether what is accepted of clients may be something else by now.
    fn refresh(&self) -> bool {
        let stamps = stamps(&self.files);
        if stamps == self.state.borrow().stamps {
            return false;
        }
        self.state.borrow_mut().stamps = stamps;
        let certificate = self.files.certificate.display();
        match files::load(&self.files, &self.wanted) {
            Ok(loaded) => {
                self.state.borrow_mut().loaded = loaded;
                match read_fingerprint(&self.files.certificate) {
                    Ok(fingerprint) => {
                        tracing::info!(%certificate, %fingerprint, "the certificate is read again; who connects from now on gets it");
                    }
                    Err(error) => tracing::warn!(%error, "the certificate was changed again"),
                }
                if let Some(client_ca) = &self.files.client_ca {
                    let client_ca = client_ca.display();
                    tracing::info!(%client_ca, "the authorities of clients are read again");
                }
                true
            }
            Err(error) => {
                tracing::error!(%error, "the new certificate cannot be used; the old one stays in force");
                false
            }
        }
    }

    /// Reads the files again whenever they have changed, and tells it. Never ends.
    pub(crate) async fn keep_fresh(&self, changed: impl Fn()) {
        let files: Vec<PathBuf> = self.files.paths().cloned().collect();
        let refresh = || {
            if self.refresh() {
                changed();
            }
        };
        kept_file::keep_fresh("the certificate", &files, SETTLE, refresh).await;
    }
}

fn stamps(files: &TlsFiles) -> Vec<Option<Stamp>> {
    files.paths().map(|path| kept_file::stamp(path)).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::{Authority, make};
    use super::*;

    fn wanted() -> Wanted {
        Wanted {
            holders: Default::default(),
            anybody: true,
        }
    }

    #[test]
    fn new_files_are_in_force_and_broken_ones_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let files = TlsFiles {
            certificate: folder.path().join("certificate.pem"),
            key: folder.path().join("key.pem"),
            client_ca: None,
        };
        assert!(LiveTls::new(&files, wanted()).is_err());
        make(&files.certificate, &files.key, &[], false).unwrap();
        let live = LiveTls::new(&files, wanted()).unwrap();
        let first = live.config();
        assert!(!live.refresh());
        assert!(Arc::ptr_eq(&first, &live.config()), "nothing has changed");
        let key = fs::read(&files.key).unwrap();
        make(&files.certificate, &files.key, &[], true).unwrap();
        fs::write(&files.key, key).unwrap();
        assert!(!live.refresh());
        assert!(Arc::ptr_eq(&first, &live.config()), "the key is another's");
        make(&files.certificate, &files.key, &[], true).unwrap();
        assert!(live.refresh());
        assert!(!Arc::ptr_eq(&first, &live.config()));
    }

    #[test]
    fn a_certificate_is_right_as_long_as_its_authority_is_there_and_it_has_not_ended() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("certificate.pem");
        let authority = Authority::beside(&own);
        let files = TlsFiles {
            key: folder.path().join("key.pem"),
            client_ca: Some(authority.certificate.clone()),
            certificate: own,
        };
        make(&files.certificate, &files.key, &[], false).unwrap();
        let missing = LiveTls::new(&files, wanted()).unwrap_err().to_string();
        assert!(missing.contains("uartd tls ca"), "{missing}");
        authority.make(false).unwrap();
        let hour = Duration::from_secs(3600);
        let file = folder.path().join("ci.pem");
        authority
            .make_client(&file, "ci", Some(hour), false)
            .unwrap();
        let chain = files::certificates(&file).unwrap().into();

        let live = LiveTls::new(&files, wanted()).unwrap();
        let now = SystemTime::now();
        assert_eq!(live.check(&chain, now), Ok(()));
        let late = live.check(&chain, now + 2 * hour).unwrap_err();
        assert!(late.contains("expired"), "{late}");
        let none = live.check(&Chain::default(), now).unwrap_err();
        assert!(none.contains("peer sent no certificates"), "{none}");

        let first = fs::read(&authority.certificate).unwrap();
        authority.make(true).unwrap();
        assert!(live.refresh());
        let strange = live.check(&chain, now).unwrap_err();
        assert!(
            strange.contains("no authority of this listener"),
            "{strange}"
        );
        // Both: an authority is replaced without a day on which nobody comes in.
        let second = fs::read(&authority.certificate).unwrap();
        fs::write(&authority.certificate, [first, second].concat()).unwrap();
        assert!(live.refresh());
        assert_eq!(live.check(&chain, now), Ok(()));
    }
}
