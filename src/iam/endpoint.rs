//! The endpoint that a token is made for: host, port and region, as RDS checks them.
//!
//! RDS verifies what was signed, not what was dialled, so the host here is RDS's own name for the
//! endpoint; an alias in DNS, a tunnel or PrivateLink may be dialled in its place. The region is the
//! database's own: it is read from the name or given, and never guessed. Pure. Source: Amazon RDS User
//! Guide, "IAM database authentication".

use super::service::Service;
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// Most bytes of a host name (RFC 1035).
const HOST_BYTES_MAX: usize = 253;

/// Most bytes of a region's name: the longest known has 14.
const REGION_BYTES_MAX: usize = 32;

/// A partition of AWS: regions that share a DNS suffix and, for RDS, the authorities of certificates.
struct Partition {
    /// What the names of its regions begin with.
    regions: &'static str,
    /// What the names of its endpoints end with.
    suffix: &'static str,
    /// The bundle of RDS's authorities there; `None` = where it is found is known there only.
    authorities: Option<&'static str>,
}

/// All of them; the first whose regions or suffix fit counts, and so the commercial one, which fits all
/// regions, is the last. Source: partitions of the AWS SDKs; Amazon RDS User Guide (also those of GovCloud
/// and China), "Using SSL/TLS".
const PARTITIONS: [Partition; 8] = [
    Partition {
        regions: "us-gov-",
        suffix: "amazonaws.com",
        authorities: Some("https://truststore.pki.us-gov-west-1.rds.amazonaws.com/global/global-bundle.pem"),
    },
    Partition {
        regions: "cn-",
        suffix: "amazonaws.com.cn",
        authorities: Some("https://rds-truststore.s3.cn-north-1.amazonaws.com.cn/global/global-bundle.pem"),
    },
    Partition { regions: "eusc-", suffix: "amazonaws.eu", authorities: None },
    Partition { regions: "us-iso-", suffix: "c2s.ic.gov", authorities: None },
    Partition { regions: "us-isob-", suffix: "sc2s.sgov.gov", authorities: None },
    Partition { regions: "eu-isoe-", suffix: "cloud.adc-e.uk", authorities: None },
    Partition { regions: "us-isof-", suffix: "csp.hci.ic.gov", authorities: None },
    Partition {
        regions: "",
        suffix: "amazonaws.com",
        authorities: Some("https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem"),
    },
];

/// Where the certificates of RDS's authorities are found, for servers of `region`, or for those of commercial
/// regions; `None` = it is not known here.
pub(crate) fn authorities(region: Option<&Region>) -> Option<&'static str> {
    let name = region.map_or("", Region::as_str);
    PARTITIONS.iter().find(|partition| name.starts_with(partition.regions))?.authorities
}

/// What of `host` stands before the DNS suffix of a partition.
fn before_suffix(host: &str) -> Option<&str> {
    PARTITIONS.iter().find_map(|partition| host.strip_suffix(partition.suffix)?.strip_suffix('.'))
}

/// The name of an AWS region, such as `eu-west-1`. Holds only lower-case letters, digits and hyphens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Region(Box<str>);

/// A text that cannot be the name of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a region is named by lower-case letters, digits and hyphens, as in eu-west-1")]
pub struct BadRegion;

impl FromStr for Region {
    type Err = BadRegion;

    fn from_str(text: &str) -> Result<Self, BadRegion> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let fits = (1..=REGION_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed);
        fits.then(|| Self(text.into())).ok_or(BadRegion)
    }
}

impl Region {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the names of AWS's endpoints there end with.
    pub(super) fn dns_suffix(&self) -> &'static str {
        let of_region = PARTITIONS.iter().find(|partition| self.0.starts_with(partition.regions));
        of_region.map_or("amazonaws.com", |partition| partition.suffix)
    }

    /// The region in RDS's own name of an instance, cluster or proxy: the label before `rds` and the
    /// partition's suffix (`amazonaws.com` and its kin), or outside the commercial regions also the one after
    /// `rds`. `None` for any other name, and for the writer of a global database, which has no region in it.
    pub fn of_host(host: &str) -> Option<Self> {
        let host = normal(host);
        let name = before_suffix(&host)?;
        let label = match name.strip_suffix(".rds") {
            Some(before) => before.rsplit_once('.')?.1,
            None => {
                let (before, label) = name.rsplit_once('.')?;
                before.strip_suffix(".rds").filter(|id| !id.is_empty())?;
                label
            }
        };
        looks_like_region(label).then(|| Self(label.into()))
    }
}

impl Region {
    /// The region in the name of a cluster of Aurora DSQL: `ID.dsql.REGION.on.aws`, or with `dsql-` and a few
    /// letters where a VPC's own endpoint leads there.
    pub(super) fn of_dsql_host(host: &str) -> Option<Self> {
        let host = normal(host);
        let (before, label) = host.strip_suffix(".on.aws")?.rsplit_once('.')?;
        let (cluster, service) = before.rsplit_once('.')?;
        let is_dsql = service == "dsql" || service.starts_with("dsql-");
        (is_dsql && !cluster.is_empty() && looks_like_region(label)).then(|| Self(label.into()))
    }

    /// The region in the URL of an endpoint of STS: what stands behind the label `sts` or `sts-fips`, be it
    /// in AWS's own name, in that of a VPC's endpoint or of a proxy that is named alike. The endpoint without
    /// a region lies in us-east-1.
    pub(super) fn of_sts(url: &str) -> Option<Self> {
        let host = url.split_once("://").map_or(url, |(_, rest)| rest);
        let host = normal(host.split(['/', ':', '?', '#']).next()?);
        if host == "sts.amazonaws.com" {
            return Some(Self("us-east-1".into()));
        }
        let mut labels = host.split('.').skip_while(|label| !matches!(*label, "sts" | "sts-fips"));
        labels.nth(1).filter(|label| looks_like_region(label)).map(|label| Self(label.into()))
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Words and then a number, joined by hyphens: `us-gov-west-1`. `global` is not one.
fn looks_like_region(label: &str) -> bool {
    let Some((words, number)) = label.rsplit_once('-') else { return false };
    let is_word = |word: &str| word.len() >= 2 && word.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number && label.len() <= REGION_BYTES_MAX && words.contains('-') && words.split('-').all(is_word)
}

/// Lower case and without the root's dot: the form that is signed.
fn normal(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// An endpoint of RDS, of Aurora or of Aurora DSQL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    service: Service,
    host: Box<str>,
    port: u16,
    region: Region,
}

/// Why no token can be made for an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEndpoint {
    /// The host is not a DNS name.
    #[error("\"{host}\" is not a host name: a token is made for the DNS name of an RDS endpoint (iam_host)")]
    Host {
        /// As it was given.
        host: String,
    },
    /// No port of that number.
    #[error("port 0 is not valid (iam_port)")]
    Port,
    /// The name holds no region and none was given.
    #[error(
        "no region in host name \"{host}\": set iam_region, and iam_host if this name is an alias of AWS's \
         own"
    )]
    NoRegion {
        /// As it was given.
        host: String,
    },
}

/// What an operator should hear of an endpoint for which tokens can be made but may well be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// An alias in DNS, most often.
    #[error("not the name of an RDS endpoint: RDS accepts tokens made for its own names only (iam_host)")]
    NotRds,
    /// An alias in DNS, most often.
    #[error(
        "not the name of a cluster of Aurora DSQL, ID.dsql.REGION.on.aws: it accepts tokens made for that \
         only (iam_host)"
    )]
    NotDsql,
    /// RDS documents that custom endpoints take no tokens.
    #[error("an Aurora custom endpoint: it takes no tokens; use the cluster's or an instance's endpoint")]
    CustomEndpoint,
    /// It moves between regions, and tokens are made for one.
    #[error(
        "the writer of an Aurora global database: set iam_host to the endpoint of the cluster that writes \
         now, in iam_region"
    )]
    GlobalWriter,
    /// Signers leave these ports out of the signed host.
    #[error("ports 80 and 443 are left out of what is signed by some signers and not by others")]
    WebPort,
    /// The region given differs from the one in the name.
    #[error("iam_region differs from the region in the host name")]
    OtherRegion,
}

impl Endpoint {
    /// As [`Endpoint::of`], of RDS.
    ///
    /// # Errors
    /// The same.
    pub fn new(host: &str, port: u16, region: Option<Region>) -> Result<Self, BadEndpoint> {
        Self::of(Service::Rds, host, port, region)
    }

    /// The endpoint of that host, which is kept in lower case. Without `region` it is read from the name.
    ///
    /// # Errors
    /// The host is no DNS name; the port is 0; there is no region in the name and none was given.
    pub fn of(service: Service, host: &str, port: u16, region: Option<Region>) -> Result<Self, BadEndpoint> {
        let name = normal(host);
        let label = |label: &str| {
            !label.is_empty()
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        if name.len() > HOST_BYTES_MAX || !name.split('.').all(label) || is_ip_v4(&name) {
            return Err(BadEndpoint::Host { host: host.chars().take(HOST_BYTES_MAX).collect() });
        }
        if port == 0 {
            return Err(BadEndpoint::Port);
        }
        let region = region.or_else(|| service.region_of_host(&name));
        let region = region.ok_or_else(|| BadEndpoint::NoRegion { host: host.to_owned() })?;
        Ok(Self { service, host: name.into(), port, region })
    }

    /// What takes its tokens.
    pub fn service(&self) -> Service {
        self.service
    }

    /// The host that is signed.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port that is signed.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The region that is signed.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// Everything about this endpoint that often turns out to be a mistake.
    pub fn doubts(&self) -> impl Iterator<Item = Doubt> {
        let named = self.service.region_of_host(&self.host);
        let name = before_suffix(&self.host);
        let is_rds = self.service == Service::Rds;
        [
            (is_rds && name.is_none()).then_some(Doubt::NotRds),
            (!is_rds && named.is_none()).then_some(Doubt::NotDsql),
            name.is_some_and(|name| name.ends_with(".global.rds")).then_some(Doubt::GlobalWriter),
            self.host.contains(".cluster-custom-").then_some(Doubt::CustomEndpoint),
            (is_rds && matches!(self.port, 80 | 443)).then_some(Doubt::WebPort),
            named.is_some_and(|region| region != self.region).then_some(Doubt::OtherRegion),
        ]
        .into_iter()
        .flatten()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

fn is_ip_v4(name: &str) -> bool {
    name.parse::<std::net::Ipv4Addr>().is_ok()
}

impl Service {
    /// The region in its own name of an endpoint.
    pub fn region_of_host(self, host: &str) -> Option<Region> {
        match self {
            Self::Rds => Region::of_host(host),
            Self::Dsql => Region::of_dsql_host(host),
        }
    }

    /// The host as it is signed, with the port where that is a part of it.
    pub(super) fn authority(self, endpoint: &Endpoint) -> Cow<'_, str> {
        match self {
            Self::Rds => endpoint.to_string().into(),
            Self::Dsql => endpoint.host().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(host: &str) -> Option<String> {
        Region::of_host(host).map(|region| region.to_string())
    }

    #[test]
    fn regions_are_read_from_the_names_that_rds_gives() {
        for (host, expected) in [
            ("db.abc.us-east-1.rds.amazonaws.com", "us-east-1"),
            ("DB.ABC.EU-West-1.RDS.Amazonaws.com", "eu-west-1"),
            ("db.abc.eu-west-1.rds.amazonaws.com.", "eu-west-1"),
            ("app.cluster-abc.ap-southeast-2.rds.amazonaws.com", "ap-southeast-2"),
            ("app.cluster-ro-abc.eu-central-1.rds.amazonaws.com", "eu-central-1"),
            ("app.proxy-abc.sa-east-1.rds.amazonaws.com", "sa-east-1"),
            ("c.cluster-abc.us-gov-west-1.rds.amazonaws.com", "us-gov-west-1"),
            ("db.abc.cn-north-1.rds.amazonaws.com.cn", "cn-north-1"),
            ("db.abc.rds.cn-northwest-1.amazonaws.com.cn", "cn-northwest-1"),
            ("db.abc.eusc-de-east-1.rds.amazonaws.eu", "eusc-de-east-1"),
            ("db.abc.us-iso-east-1.rds.c2s.ic.gov", "us-iso-east-1"),
            ("db.abc.rds.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1"),
            ("db.abc.rds.eu-isoe-west-1.cloud.adc-e.uk", "eu-isoe-west-1"),
            ("db.abc.us-isof-south-1.rds.csp.hci.ic.gov", "us-isof-south-1"),
        ] {
            assert_eq!(region(host).as_deref(), Some(expected), "{host}");
        }
    }

    #[test]
    fn regions_are_read_from_the_names_of_clusters_of_dsql() {
        let of = |host| Service::Dsql.region_of_host(host).map(|region| region.to_string());
        for (host, expected) in [
            ("foo0bar1baz2.dsql.us-east-1.on.aws", Some("us-east-1")),
            ("FOO.Dsql.eu-west-3.on.aws.", Some("eu-west-3")),
            ("foo.dsql-fnh4.us-east-1.on.aws", Some("us-east-1")),
            ("dsql.us-east-1.on.aws", None),
            (".dsql.us-east-1.on.aws", None),
            ("foo.dsqlx.us-east-1.on.aws", None),
            ("foo.dsql.useast.on.aws", None),
            ("foo.dsql.us-east-1.on.aws.example.com", None),
            ("db.abc.us-east-1.rds.amazonaws.com", None),
        ] {
            assert_eq!(of(host).as_deref(), expected, "{host}");
        }
        assert_eq!(region("foo.dsql.us-east-1.on.aws"), None, "it is none of RDS");
        let alias = Endpoint::of(Service::Dsql, "db.internal", 5432, "eu-west-1".parse().ok()).unwrap();
        assert_eq!(alias.doubts().collect::<Vec<_>>(), [Doubt::NotDsql]);
        let named = Endpoint::of(Service::Dsql, "foo.dsql.us-east-1.on.aws", 5432, None).unwrap();
        assert_eq!(named.doubts().count(), 0);
    }

    #[test]
    fn no_region_is_guessed() {
        for host in [
            "",
            ".",
            "localhost",
            "10.0.0.1",
            "db.internal.example.com",
            "app.global-abc.global.rds.amazonaws.com",
            "rds.amazonaws.com",
            "us-east-1.rds.amazonaws.com.example.com",
            "db.abc.us-east-1.rds.notamazonaws.com",
            "db.abc.us-east-1.rds.amazonaws.cn",
            "db.abc.useast1.rds.amazonaws.com",
            "db.abc.-1.rds.amazonaws.com",
            "db.abc.us--1.rds.amazonaws.com",
            "db.abc.us-east-.rds.amazonaws.com",
            "s3.us-east-1.amazonaws.com",
            "rds.us-east-1.amazonaws.com",
            ".rds.us-east-1.amazonaws.com",
        ] {
            assert_eq!(region(host), None, "{host}");
        }
    }

    #[test]
    fn regions_are_read_from_the_urls_of_sts() {
        for (url, expected) in [
            ("https://sts.eu-west-1.amazonaws.com", Some("eu-west-1")),
            ("https://STS.eu-west-1.amazonaws.com:443/", Some("eu-west-1")),
            ("https://sts-fips.us-gov-west-1.amazonaws.com", Some("us-gov-west-1")),
            ("https://sts.eu-west-1.api.aws", Some("eu-west-1")),
            ("https://sts.cn-north-1.amazonaws.com.cn/x?y", Some("cn-north-1")),
            ("https://vpce-0a-b.sts.eu-west-2.vpce.amazonaws.com", Some("eu-west-2")),
            ("https://sts.amazonaws.com", Some("us-east-1")),
            ("http://127.0.0.1:4566", None),
            ("http://localhost/sts.eu-west-1", None),
            ("sts", None),
            ("", None),
        ] {
            assert_eq!(Region::of_sts(url).as_ref().map(Region::as_str), expected, "{url}");
        }
    }

    #[test]
    fn an_endpoint_needs_a_name_a_port_and_a_region() {
        let given = |text: &str| Some(text.parse::<Region>().unwrap());
        let endpoint = Endpoint::new("Db.Internal.", 6543, given("eu-west-1")).unwrap();
        assert_eq!(
            (endpoint.to_string(), endpoint.region().as_str()),
            ("db.internal:6543".into(), "eu-west-1")
        );
        let no_region = Endpoint::new("db.internal", 5432, None).unwrap_err();
        assert!(no_region.to_string().contains("iam_region"), "{no_region}");
        assert_eq!(Endpoint::new("db.internal", 0, given("eu-west-1")), Err(BadEndpoint::Port));
        let long = format!("{}.com", "a".repeat(250));
        for host in ["", "a b", "a/b", "a?b", "a..b", "::1", "[::1]", "10.0.0.1", "a:1", "ü.de", "a@b", &long]
        {
            let refused = Endpoint::new(host, 5432, given("eu-west-1"));
            assert!(matches!(refused, Err(BadEndpoint::Host { .. })), "{host}");
        }
    }

    #[test]
    fn region_texts_are_checked() {
        for text in ["us-east-1", "local", "x1"] {
            assert_eq!(text.parse::<Region>().unwrap().as_str(), text);
        }
        for text in ["", "US-EAST-1", "us east 1", "us/east", "{\"a\":1}", &"a".repeat(33)] {
            assert_eq!(text.parse::<Region>(), Err(BadRegion), "{text}");
        }
    }

    #[test]
    fn likely_mistakes_are_told() {
        let doubts = |host: &str, port, region: &str| -> Vec<Doubt> {
            Endpoint::new(host, port, region.parse().ok()).unwrap().doubts().collect()
        };
        assert_eq!(doubts("db.abc.us-east-1.rds.amazonaws.com", 5432, "us-east-1"), []);
        assert_eq!(doubts("db.abc.us-east-1.rds.amazonaws.com", 443, "us-east-1"), [Doubt::WebPort]);
        assert_eq!(doubts("db.abc.us-east-1.rds.amazonaws.com", 1, "eu-west-1"), [Doubt::OtherRegion]);
        assert_eq!(doubts("db.example.com", 5432, "eu-west-1"), [Doubt::NotRds]);
        let custom = "few.cluster-custom-abc.us-east-1.rds.amazonaws.com";
        assert_eq!(doubts(custom, 5432, "us-east-1"), [Doubt::CustomEndpoint]);
    }

    #[test]
    fn names_of_every_partition_are_rds_own() {
        let doubts =
            |host: &str| -> Vec<Doubt> { Endpoint::new(host, 5432, None).unwrap().doubts().collect() };
        for host in [
            "db.abc.us-gov-west-1.rds.amazonaws.com",
            "db.abc.cn-north-1.rds.amazonaws.com.cn",
            "db.abc.eusc-de-east-1.rds.amazonaws.eu",
            "db.abc.rds.us-iso-east-1.c2s.ic.gov",
            "db.abc.rds.us-isob-east-1.sc2s.sgov.gov",
            "db.abc.rds.eu-isoe-west-1.cloud.adc-e.uk",
            "db.abc.rds.us-isof-south-1.csp.hci.ic.gov",
        ] {
            assert_eq!(doubts(host), [], "{host}");
        }
    }

    #[test]
    fn each_partition_has_its_own_authorities() {
        let host = |name: &str| {
            let url = authorities(Some(&name.parse::<Region>().unwrap()))?;
            url.split('/').nth(2)
        };
        assert_eq!(authorities(None).and_then(|url| url.split('/').nth(2)), host("eu-west-1"));
        assert_eq!(host("eu-west-1"), Some("truststore.pki.rds.amazonaws.com"));
        assert_eq!(host("us-east-1"), host("ap-southeast-7"));
        assert_eq!(host("us-gov-east-1"), Some("truststore.pki.us-gov-west-1.rds.amazonaws.com"));
        assert_eq!(host("cn-northwest-1"), Some("rds-truststore.s3.cn-north-1.amazonaws.com.cn"));
        assert_eq!((host("eusc-de-east-1"), host("us-isob-east-1")), (None, None));
    }

    #[test]
    fn the_writer_of_a_global_database_is_doubted() {
        let writer = "app.global-abc.global.rds.amazonaws.com";
        assert!(Endpoint::new(writer, 5432, None).is_err(), "no region in it");
        let endpoint = Endpoint::new(writer, 5432, "eu-west-1".parse().ok()).unwrap();
        assert_eq!(endpoint.doubts().collect::<Vec<_>>(), [Doubt::GlobalWriter]);
        assert!(Doubt::GlobalWriter.to_string().contains("iam_host"));
    }
}
