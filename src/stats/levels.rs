//! How things stand in one pool at a moment: the gauges of SHOW POOLS and of the metrics page.

/// Connections of one pool by state, summed over the workers and the login plane. Names are PgBouncer's columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are PgBouncer's columns")]
pub struct PoolLevels {
    /// Clients linked to a server. SHOW POOLS prints the idle ones with them.
    pub cl_linked: u64,
    /// Clients logged in that want nothing at present.
    pub cl_idle: u64,
    pub cl_waiting: u64,
    pub cl_active_cancel_req: u64,
    pub cl_waiting_cancel_req: u64,
    pub sv_active: u64,
    pub sv_active_cancel: u64,
    pub sv_being_canceled: u64,
    pub sv_idle: u64,
    pub sv_used: u64,
    pub sv_tested: u64,
    pub sv_login: u64,
    /// For how long the first client in the queue has waited, in microseconds.
    pub maxwait_us: u64,
    /// Servers past the soft age of their authorization, those past the hard one among them.
    pub sv_past_soft_age: u64,
    /// Servers past the hard age of their authorization.
    pub sv_past_hard_age: u64,
    /// The age of the oldest server's authorization, in microseconds; 0 where none has one.
    pub auth_age_us: u64,
}

impl PoolLevels {
    /// SHOW POOLS' `cl_active`: clients that are linked or idle.
    pub fn cl_active(&self) -> u64 {
        self.cl_linked + self.cl_idle
    }

    /// Adds `other` to this; the longer wait and the greater age count.
    pub fn merge(&mut self, other: &Self) {
        self.cl_linked += other.cl_linked;
        self.cl_idle += other.cl_idle;
        self.cl_waiting += other.cl_waiting;
        self.cl_active_cancel_req += other.cl_active_cancel_req;
        self.cl_waiting_cancel_req += other.cl_waiting_cancel_req;
        self.sv_active += other.sv_active;
        self.sv_active_cancel += other.sv_active_cancel;
        self.sv_being_canceled += other.sv_being_canceled;
        self.sv_idle += other.sv_idle;
        self.sv_used += other.sv_used;
        self.sv_tested += other.sv_tested;
        self.sv_login += other.sv_login;
        self.maxwait_us = self.maxwait_us.max(other.maxwait_us);
        self.sv_past_soft_age += other.sv_past_soft_age;
        self.sv_past_hard_age += other.sv_past_hard_age;
        self.auth_age_us = self.auth_age_us.max(other.auth_age_us);
    }
}
