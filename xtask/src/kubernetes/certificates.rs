//! A certificate authority that lives as long as the cluster, and a certificate for each part.

use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

use super::files::{API_SERVICE, NODE_IP};

/// A part: file, user, group, and the names it answers to.
type Holder = (
    &'static str,
    &'static str,
    Option<&'static str>,
    &'static [&'static str],
);

const HOLDERS: &[Holder] = &[
    (
        "apiserver",
        "kube-apiserver",
        None,
        &[
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "localhost",
            "127.0.0.1",
            API_SERVICE,
            NODE_IP,
        ],
    ),
    ("apiserver-kubelet", "kube-apiserver", Some("system:masters"), &[]),
    ("admin", "admin", Some("system:masters"), &[]),
    ("controllers", "system:kube-controller-manager", None, &[]),
    ("scheduler", "system:kube-scheduler", None, &[]),
    ("proxy", "system:kube-proxy", None, &[]),
    ("kubelet", "system:node:node", Some("system:nodes"), &["node", NODE_IP]),
];

/// Writes `NAME.crt` and `NAME.key` for each part, `ca.crt`, and the key pair `accounts` for service accounts.
pub(super) fn write(folder: &Path) -> Result<(), String> {
    let wrong = |error: rcgen::Error| format!("certificates: {error}");
    let put =
        |name: &str, text: &str| std::fs::write(folder.join(name), text).map_err(|error| format!("{name}: {error}"));
    let (params, key) = (authority(), KeyPair::generate().map_err(wrong)?);
    put("ca.crt", &params.self_signed(&key).map_err(wrong)?.pem())?;
    put("ca.key", &key.serialize_pem())?;
    let issuer = Issuer::new(params, key);
    for holder in HOLDERS {
        let key = KeyPair::generate().map_err(wrong)?;
        let certificate = of(holder).map_err(wrong)?.signed_by(&key, &issuer).map_err(wrong)?;
        put(&format!("{}.crt", holder.0), &certificate.pem())?;
        put(&format!("{}.key", holder.0), &key.serialize_pem())?;
    }
    let accounts = KeyPair::generate().map_err(wrong)?;
    put("accounts.key", &accounts.serialize_pem())?;
    put("accounts.pub", &accounts.public_key_pem())
}

fn authority() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "kubernetes");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
    params
}

fn of((_, user, group, names): &Holder) -> Result<CertificateParams, rcgen::Error> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    if let Some(group) = group {
        params.distinguished_name.push(DnType::OrganizationName, *group);
    }
    params.distinguished_name.push(DnType::CommonName, *user);
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}
