//! TLS for devices: the server's certificate, and client certificates that say which device connects.
//!
//! A client certificate is optional, so devices with a secret connect to the same port. One that is sent must be signed by the
//! operator's authority, valid today and not revoked; its common name, or a DNS name among its alternative names, is the
//! device id. Files that change are read again, so a renewed certificate needs no restart.

use crate::GatewayError;
use parking_lot::Mutex;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
        client::danger::HandshakeSignatureValid,
        crypto::ring,
        pki_types::{
            CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime, pem, pem::PemObject,
        },
        server::{
            WebPkiClientVerifier,
            danger::{ClientCertVerified, ClientCertVerifier},
        },
    },
};
use x509_cert::{
    Certificate,
    der::{Decode, oid::db::rfc4519::CN},
    ext::pkix::{SubjectAltName, name::GeneralName},
};

/// How often changed files are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Where the certificates are, all PEM.
#[derive(Debug, Clone)]
pub struct MqttTlsFiles {
    /// The server's certificate, followed by those between it and its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Authorities that sign client certificates; without, none is asked for.
    pub client_authority: Option<PathBuf>,
    /// Revocation lists of these authorities.
    pub revoked: Option<PathBuf>,
}

/// What connections are secured with.
pub struct MqttTls {
    files: MqttTlsFiles,
    current: Mutex<Current>,
}

struct Current {
    acceptor: TlsAcceptor,
    changed: Vec<Option<SystemTime>>,
    looked: Instant,
}

impl MqttTls {
    /// # Errors
    /// Names the file that cannot be read or holds the wrong thing.
    pub fn open(files: MqttTlsFiles) -> Result<Self, GatewayError> {
        let changed = files.changed();
        let acceptor = files.acceptor()?;
        let current = Mutex::new(Current { acceptor, changed, looked: Instant::now() });
        Ok(Self { files, current })
    }

    /// With the newest files that are usable.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let mut current = self.current.lock();
        if current.looked.elapsed() >= LOOK_EVERY {
            current.looked = Instant::now();
            let changed = self.files.changed();
            if changed != current.changed {
                current.changed = changed;
                match self.files.acceptor() {
                    Ok(acceptor) => {
                        tracing::info!(files = ?self.files, "MQTT's certificates were read again");
                        current.acceptor = acceptor;
                    }
                    Err(error) => tracing::error!(%error, "MQTT goes on with the certificates it had"),
                }
            }
        }
        current.acceptor.clone()
    }
}

impl MqttTlsFiles {
    fn changed(&self) -> Vec<Option<SystemTime>> {
        let files =
            [Some(&self.certificate), Some(&self.key), self.client_authority.as_ref(), self.revoked.as_ref()];
        files.into_iter().flatten().map(|path| path.metadata().and_then(|m| m.modified()).ok()).collect()
    }

    fn acceptor(&self) -> Result<TlsAcceptor, GatewayError> {
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|e| fault(&self.certificate, e))?;
        let config = match &self.client_authority {
            None => config.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for authority in certificates(path)? {
                    roots.add(authority).map_err(|e| fault(path, e))?;
                }
                let mut verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                if let Some(path) = &self.revoked {
                    let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_file_iter(path)
                        .and_then(Iterator::collect)
                        .map_err(|e| unreadable(path, &e));
                    verifier = verifier.with_crls(lists?).allow_unknown_revocation_status();
                }
                let verifier = verifier.allow_unauthenticated().build().map_err(|e| fault(path, e))?;
                config.with_client_cert_verifier(Arc::new(Naming(verifier)))
            }
        };
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|e| unreadable(&self.key, &e))?;
        let config = config
            .with_single_cert(certificates(&self.certificate)?, key)
            .map_err(|e| fault(&self.certificate, format!("with the key {}: {e}", self.key.display())))?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, GatewayError> {
    let certificates: Vec<_> =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(|e| unreadable(path, &e))?;
    if certificates.is_empty() {
        return Err(fault(path, "holds no certificate in PEM"));
    }
    Ok(certificates)
}

fn unreadable(path: &Path, error: &pem::Error) -> GatewayError {
    match error {
        pem::Error::Io(error) => fault(path, error),
        pem::Error::NoItemsFound => fault(path, "holds nothing of that kind in PEM"),
        other => fault(path, format!("{other:?}")),
    }
}

fn fault(path: &Path, reason: impl ToString) -> GatewayError {
    GatewayError::Tls { path: path.to_owned(), reason: reason.to_string() }
}

/// Says whose certificate is refused, which the handshake's own error does not.
#[derive(Debug)]
struct Naming(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for Naming {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verdict = self.0.verify_client_cert(end_entity, intermediates, now);
        verdict.inspect_err(|error| {
            let names = names_in(end_entity).join(", ");
            tracing::warn!(%names, %error, "a client certificate was refused");
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Whom a certificate speaks for: its common name, then its DNS names.
pub(super) fn names_in(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(certificate) = Certificate::from_der(certificate) else { return Vec::new() };
    let subject = &certificate.tbs_certificate.subject;
    let common = subject.0.iter().flat_map(|name| name.0.iter()).filter(|part| part.oid == CN);
    let common = common.filter_map(|part| std::str::from_utf8(part.value.value()).ok().map(str::to_owned));
    let alternative = certificate.tbs_certificate.get::<SubjectAltName>().ok().flatten();
    let alternative = alternative.map(|(_, names)| names.0).unwrap_or_default().into_iter();
    let alternative = alternative.filter_map(|name| match name {
        GeneralName::DnsName(name) => Some(name.to_string()),
        _ => None,
    });
    common.chain(alternative).collect()
}
