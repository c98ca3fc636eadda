//! An authority and the certificates it signs, made for one test.

use anyhow::Context;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use std::path::{Path, PathBuf};

/// A certificate authority with its files in a folder.
pub struct Authority {
    folder: PathBuf,
    certificate: Certificate,
    key: KeyPair,
}

/// A certificate's file and its key's.
pub struct Identity {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    pub fn new(folder: &Path, name: &str) -> anyhow::Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        let it = Self { folder: folder.join(name), certificate, key };
        std::fs::create_dir_all(&it.folder)?;
        std::fs::write(it.file(), it.certificate.pem())?;
        Ok(it)
    }

    /// Its own certificate's file.
    pub fn file(&self) -> PathBuf {
        self.folder.join("authority.pem")
    }

    /// For a server on this machine.
    pub fn server(&self) -> anyhow::Result<Identity> {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let params = CertificateParams::new(names)?;
        self.sign("server", params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// For a device known by its common name.
    pub fn device(&self, id: &str) -> anyhow::Result<Identity> {
        self.sign(id, common_name(id), ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// One that was good in 2020.
    pub fn expired(&self, id: &str) -> anyhow::Result<Identity> {
        let mut params = common_name(id);
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2020, 12, 31));
        self.sign(&format!("{id}-expired"), params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(
        &self,
        name: &str,
        mut params: CertificateParams,
        usage: ExtendedKeyUsagePurpose,
    ) -> anyhow::Result<Identity> {
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.certificate, &self.key).context(name.to_owned())?;
        let file = |kind: &str| self.folder.join(format!("{name}-{kind}.pem"));
        let identity = Identity { certificate: file("certificate"), key: file("key") };
        std::fs::write(&identity.certificate, certificate.pem())?;
        std::fs::write(&identity.key, key.serialize_pem())?;
        Ok(identity)
    }
}

fn common_name(id: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, id);
    params
}
