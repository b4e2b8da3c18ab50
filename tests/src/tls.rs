//! A TLS peer that speaks in bytes written by hand, over rustls used as its manual says, and what it needs: a gateway with
//! a key of its own, in a folder.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, SanType,
    date_time_ymd,
};
use rustls::client::ResolvesClientCert;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::version::TLS12;
use rustls::{
    ALL_VERSIONS, ClientConfig, ClientConnection, RootCertStore, SignatureScheme, StreamOwned,
    SupportedProtocolVersion,
};
use tempfile::TempDir;

use crate::{DEADLINE, Daemon, uartd_command};

/// A folder with what a gateway keeps, and a home for clients.
#[derive(Debug)]
pub struct Keys {
    folder: TempDir,
    versions: Vec<&'static SupportedProtocolVersion>,
}

impl Keys {
    /// A folder in which `uartd tls init` was typed.
    ///
    /// # Panics
    /// It failed.
    pub fn new() -> Keys {
        let keys = Keys {
            folder: tempfile::tempdir().expect("a folder"),
            versions: ALL_VERSIONS.to_vec(),
        };
        keys.init(&[]);
        keys
    }

    /// Connections from now on speak TLS 1.2, and nothing newer.
    pub fn speak_tls12(&mut self) {
        self.versions = vec![&TLS12];
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `uartd`, which keeps everything here.
    ///
    /// # Panics
    /// The binaries do not build.
    pub fn uartd(&self) -> Command {
        let mut command = uartd_command().expect("uartd");
        command.env("STATE_DIRECTORY", self.folder.path());
        command
    }

    /// `uart`, which keeps everything here.
    ///
    /// # Panics
    /// The binaries do not build.
    pub fn uart(&self, gateway: &str) -> assert_cmd::Command {
        let command = crate::uart_command(gateway).expect("uart");
        let mut command = assert_cmd::Command::from_std(command);
        command
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("XDG_STATE_HOME", self.path("state"))
            .timeout(DEADLINE);
        command
    }

    /// `uartd tls init` with these arguments; gives the fingerprint.
    ///
    /// # Panics
    /// It failed.
    pub fn init(&self, arguments: &[&str]) -> String {
        self.said(&[&["tls", "init"], arguments].concat())
    }

    /// What `uartd` with these arguments says on stdout, a line.
    ///
    /// # Panics
    /// It failed.
    pub fn said(&self, arguments: &[&str]) -> String {
        let output = self.uartd().args(arguments).output().expect("uartd runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {stderr}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// A gateway with this configuration. Its `[[listen]]` tables may say `tls = true`.
    ///
    /// # Panics
    /// It does not come up.
    pub fn start(&self, config: &str) -> Daemon {
        let file = self.path("uartd.toml");
        fs::write(&file, config).expect("a file");
        let mut command = self.uartd();
        command.arg("--config").arg(file);
        let listeners = config.matches("[[listen]]").count();
        Daemon::run(&mut command, listeners).unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// A TLS connection to it, as `localhost`.
    ///
    /// # Panics
    /// Hands are not shaken.
    pub fn connect(&self, address: SocketAddr) -> TlsPeer {
        self.try_connect(address, None).expect("a TLS connection")
    }

    /// A TLS connection, with the certificate and the key in these files.
    ///
    /// # Errors
    /// What was said in the handshake.
    ///
    /// # Panics
    /// The files are not right.
    pub fn try_connect(
        &self,
        address: SocketAddr,
        own: Option<(PathBuf, PathBuf)>,
    ) -> std::io::Result<TlsPeer> {
        shake_hands(self.connection(own), dial(address)?)
    }

    /// A TLS connection of somebody who shows these certificates, whatever they are, and signs with the key in this file,
    /// whosever it is.
    ///
    /// # Errors
    /// What was said in the handshake.
    ///
    /// # Panics
    /// There is no key.
    pub fn try_connect_showing(
        &self,
        address: SocketAddr,
        chain: Vec<Vec<u8>>,
        key: PathBuf,
    ) -> std::io::Result<TlsPeer> {
        let chain = chain.into_iter().map(CertificateDer::from).collect();
        let connection = self.connection_showing(Some((chain, key)));
        shake_hands(connection, dial(address)?)
    }

    /// TLS over this connection.
    ///
    /// # Errors
    /// What was said in the handshake.
    pub fn shake_hands(&self, socket: TcpStream) -> std::io::Result<TlsPeer> {
        shake_hands(self.connection(None), socket)
    }

    /// What a client says first.
    ///
    /// # Panics
    /// It says nothing.
    pub fn client_hello(&self) -> Vec<u8> {
        to_be_sent(&mut self.connection(None))
    }

    /// What a client says last in a handshake (of TLS 1.3) that it begins over this connection. It has not been sent.
    ///
    /// # Errors
    /// The other side does not answer as it should.
    ///
    /// # Panics
    /// It says nothing.
    pub fn end_of_handshake(&self, socket: &mut TcpStream) -> std::io::Result<Vec<u8>> {
        let mut connection = self.connection(None);
        socket.write_all(&to_be_sent(&mut connection))?;
        while connection.is_handshaking() {
            if connection.read_tls(socket)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let read = connection.process_new_packets();
            read.map_err(std::io::Error::other)?;
        }
        Ok(to_be_sent(&mut connection))
    }

    /// A client that knows the gateway of this folder, with the certificate and the key in these files.
    fn connection(&self, own: Option<(PathBuf, PathBuf)>) -> ClientConnection {
        self.connection_showing(own.map(|(certificate, key)| {
            let chain = CertificateDer::pem_file_iter(certificate).expect("certificates");
            let chain = chain.map(|it| it.expect("a certificate"));
            (chain.collect(), key)
        }))
    }

    fn connection_showing(
        &self,
        own: Option<(Vec<CertificateDer<'static>>, PathBuf)>,
    ) -> ClientConnection {
        let mut roots = RootCertStore::empty();
        let file = self.path("certificate.pem");
        let certificate = CertificateDer::from_pem_file(file).expect("a certificate");
        roots.add(certificate).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.versions)
            .expect("versions")
            .with_root_certificates(roots);
        let config = match own {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let key = PrivateKeyDer::from_pem_file(key).expect("a key");
                let key = any_supported_type(&key).expect("a key");
                let own = CertifiedKey::new(chain, key);
                builder.with_client_cert_resolver(Arc::new(Shows(Arc::new(own))))
            }
        };
        let name = ServerName::try_from("localhost").expect("a name");
        ClientConnection::new(Arc::new(config), name).expect("a connection")
    }
}

/// The certificates in a PEM file, as DER.
///
/// # Panics
/// There is none.
pub fn certificates(file: &Path) -> Vec<Vec<u8>> {
    let found = CertificateDer::pem_file_iter(file).expect("certificates");
    let found = found.map(|it| it.expect("a certificate").to_vec());
    found.collect()
}

/// Shows one certificate to whoever asks, whether it fits or not.
#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesClientCert for Shows {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn dial(address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(DEADLINE))?;
    socket.set_write_timeout(Some(DEADLINE))?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

/// An authority that is not made by `uartd`, as an organisation has one: it signs what it is told to.
pub struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
    /// Those between it and the first, with the first of them in front.
    chain: String,
}

/// What a certificate is to say.
#[derive(Debug, Clone, Copy)]
pub struct Says<'a> {
    /// Its common name.
    pub common_name: &'a str,
    /// Its alternative name of DNS, if it has one.
    pub dns: Option<&'a str>,
    /// From the beginning of the first year to the beginning of the second.
    pub years: (i32, i32),
}

impl Authority {
    /// One that nobody has signed.
    ///
    /// # Panics
    /// It cannot be made.
    pub fn new() -> Authority {
        let (params, key) = authority("the organisation");
        let certificate = params.self_signed(&key).expect("a certificate");
        Authority {
            pem: certificate.pem(),
            issuer: Issuer::new(params, key),
            chain: String::new(),
        }
    }

    /// One that this has signed.
    ///
    /// # Panics
    /// It cannot be made.
    pub fn below(&self) -> Authority {
        let (params, key) = authority("a part of it");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Authority {
            pem: certificate.pem(),
            issuer: Issuer::new(params, key),
            chain: certificate.pem() + &self.chain,
        }
    }

    /// Its certificate.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate of a client, those that it was signed by, and its key.
    ///
    /// # Panics
    /// It cannot be made.
    pub fn client(&self, says: Says<'_>) -> String {
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(says.common_name);
        let dns = says.dns.map(|name| name.try_into().expect("a name"));
        params.subject_alt_names = dns.map(SanType::DnsName).into_iter().collect();
        params.not_before = date_time_ymd(says.years.0, 1, 1);
        params.not_after = date_time_ymd(says.years.1, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        certificate.pem() + &self.chain + &key.serialize_pem()
    }
}

impl Default for Authority {
    fn default() -> Authority {
        Authority::new()
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

fn authority(name: &str) -> (CertificateParams, KeyPair) {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    (params, KeyPair::generate().expect("a key"))
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn shake_hands(connection: ClientConnection, socket: TcpStream) -> std::io::Result<TlsPeer> {
    let mut stream = StreamOwned::new(connection, socket);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(TlsPeer { stream })
}

fn to_be_sent(connection: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while connection.wants_write() {
        connection.write_tls(&mut bytes).expect("memory");
    }
    bytes
}

impl Default for Keys {
    fn default() -> Keys {
        Keys::new()
    }
}

/// One TLS connection; every read and write has a deadline.
#[derive(Debug)]
pub struct TlsPeer {
    stream: StreamOwned<ClientConnection, TcpStream>,
}

impl TlsPeer {
    /// Sends bytes, in one record.
    ///
    /// # Panics
    /// The other side has gone.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes.as_ref())
            .expect("the other side takes what is sent");
    }

    /// So many bytes.
    ///
    /// # Panics
    /// They do not come.
    pub fn read(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).expect("so many bytes");
        bytes
    }

    /// Like [`TlsPeer::send`], to somebody who may not listen any more.
    ///
    /// # Errors
    /// What was said instead.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.stream
            .write_all(bytes.as_ref())
            .and_then(|()| self.stream.flush())
    }

    /// One byte, if it comes.
    ///
    /// # Errors
    /// What was said instead.
    pub fn try_read(&mut self) -> std::io::Result<u8> {
        let mut byte = [0];
        self.stream.read_exact(&mut byte)?;
        Ok(byte[0])
    }

    /// Everything up to the end, and whether that was the end that TLS has.
    ///
    /// # Panics
    /// There is no end.
    pub fn rest(&mut self) -> (Vec<u8>, bool) {
        let mut bytes = Vec::new();
        match self.stream.read_to_end(&mut bytes) {
            Ok(_) => (bytes, true),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("no end within {DEADLINE:?}")
            }
            Err(_) => (bytes, false),
        }
    }

    /// Says that nothing more is sent, as TLS has it, and keeps reading.
    ///
    /// # Panics
    /// The other side has gone.
    pub fn finish(&mut self) {
        self.try_finish().expect("the other side takes it");
    }

    /// Cuts the sending side off without a word.
    ///
    /// # Panics
    /// The connection is gone.
    pub fn cut(&mut self) {
        self.stream
            .sock
            .shutdown(Shutdown::Write)
            .expect("a connection");
    }

    /// The TCP connection underneath.
    pub fn socket(&self) -> &TcpStream {
        &self.stream.sock
    }

    /// Encrypts these bytes, and gives what would be sent.
    ///
    /// # Panics
    /// They do not fit.
    pub fn encrypt(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.stream.conn.writer().write_all(bytes).expect("room");
        to_be_sent(&mut self.stream.conn)
    }

    /// What has come, at most as much as there is room for; nothing: the end that TLS has.
    ///
    /// # Errors
    /// Another end, or none.
    pub fn try_read_some(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.stream.read(buffer)
    }

    /// Says that nothing more is sent, if the other side still takes it.
    ///
    /// # Errors
    /// It does not.
    pub fn try_finish(&mut self) -> std::io::Result<()> {
        self.stream.conn.send_close_notify();
        self.stream.flush()
    }

    /// Has both sides take new keys (RFC 8446 section 4.6.3).
    ///
    /// # Errors
    /// The other side takes nothing.
    pub fn renew_keys(&mut self) -> std::io::Result<()> {
        let renewed = self.stream.conn.refresh_traffic_keys();
        renewed.map_err(std::io::Error::other)?;
        self.stream.flush()
    }
}
