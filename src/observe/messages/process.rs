//! Start, stop and reload; statistics, metrics and the log itself; faults of the program's own.

use super::{Message, NONE, error, fatal, log, text, warning};

/// What the log tells of the start and of the end.
pub(super) const START: &[Message] = &[
    log(
        "process up: {version}, tokio, rustls, {workers} workers",
        "The start is complete and clients can connect.",
        NONE,
    ),
    log(
        "kernel file descriptor limit: {limit} (hard: {hard limit}); max_client_conn: {clients}, max \
         expected fd use: {expected}",
        "How many files the process may open, after it has raised that limit as far as the system lets it; \
         and how many clients, logins and the servers of every pool may need together.",
        NONE,
    ),
    warning(
        "could not raise the limit of open files: {error}",
        "The limit of open files stays where it was, which may be too few for `max_client_conn`.",
        "Give the service a higher limit (`LimitNOFILE=` of systemd, `ulimit -n`).",
    ),
    warning(
        "the limit of {limit} open files is too low for all that is configured, which may need {expected}",
        "Clients may be refused before `max_client_conn` is reached: an eighth of the files, 1,024 at the \
         most, is kept for servers, the console and the page of metrics.",
        "Raise the limit of open files (`LimitNOFILE=`), or lower `max_client_conn`, `max_login_conn` or the \
         sizes of pools.",
    ),
    log(
        "io_uring is not available ({error}): each write is a system call",
        "The kernel has no io_uring, or forbids it (containers often do). All works; writes cost a little \
         more CPU.",
        "None; `io_backend=epoll` leaves the line out.",
    ),
    warning(
        "cannot lower the priority of a thread: {error}",
        "Threads for TLS handshakes run as urgently as the workers: a herd of TLS logins slows queries \
         more.",
        "See whether a seccomp filter (`SystemCallFilter=` of systemd) forbids `setpriority`.",
    ),
    warning(
        "could not notify the service manager: {error}",
        "The socket of `NOTIFY_SOCKET` does not answer; systemd may hold the start or the reload for \
         unfinished.",
        "Check `NOTIFY_SOCKET` and `NotifyAccess=` of the unit.",
    ),
    warning(
        "{count} descriptors from the service manager are no sockets for clients",
        "What systemd has passed is neither TCP nor a Unix stream socket: `ListenDatagram=`, `OpenFile=`.",
        "Correct the `.socket` unit.",
    ),
    log(
        "stale pidfile, removing",
        "The process of the pidfile is gone: it had no time to remove the file.",
        "See why the last run ended.",
    ),
    log(
        "RELOAD command issued",
        "The console has asked for a reload. What is wrong with the files follows as ERROR lines; no such \
         line means that all is in force.",
        NONE,
    ),
    log(
        "got SIGHUP, re-reading config",
        "SIGHUP has asked for a reload. What is wrong with the files follows as ERROR lines; no such line \
         means that all is in force.",
        NONE,
    ),
    error(
        "config file loading failed, the configuration in force stays",
        "A reload has met errors, told in the lines before: nothing of it has taken effect.",
        "Correct the files (`--check FILE` tells the same errors), then reload again.",
    ),
    error(
        "could not open the log file {file}: {error}",
        "A reload names a log file that cannot be opened: lines go on to where they went before. At a \
         start it is FATAL.",
        "Correct `logfile` or the rights of its directory.",
    ),
    log(
        "got SIGUSR1, pausing all activity",
        "PAUSE by signal: servers are closed as they come free, clients wait.",
        "SIGUSR2 or RESUME ends it.",
    ),
    log("got SIGUSR1, but already paused/suspended", "The signal has changed nothing.", NONE),
    log("got SIGUSR2, continuing from {state}", "RESUME by signal.", NONE),
    log("got SIGUSR2, but not paused/suspended", "The signal has changed nothing.", NONE),
    log("got SIGUSR2 while shutting down, ignoring", "The process ends: RESUME is of no use any more.", NONE),
    log(
        "got {signal}, shutting down, {what}",
        "SIGTERM (waiting for clients) or SIGINT (waiting for servers): no new clients come in, and the \
         process ends when the last one has left, or the last server is closed.",
        "None; a second signal ends it at once.",
    ),
    log(
        "got {signal} while shutting down, fast exit",
        "The second signal: every connection is closed at once.",
        NONE,
    ),
    log("got SIGQUIT, fast exit", "Every connection is closed at once, and the process ends.", NONE),
    log(
        "client connections dropped, exiting",
        "The last client has left after SIGTERM or SHUTDOWN WAIT_FOR_CLIENTS: the process ends.",
        NONE,
    ),
    log(
        "server connections dropped, exiting",
        "The last server is closed after SIGINT or SHUTDOWN WAIT_FOR_SERVERS: the process ends.",
        NONE,
    ),
];

/// Why a start fails; the last word of the process.
pub(super) const START_FAILURES: &[Message] = &[
    fatal(
        "cannot load config file",
        "The start has met errors in the files, told in the lines before.",
        "See [errors of the configuration](#errors-of-the-configuration).",
    ),
    fatal("daemon needs pidfile configured", "`-d` without `pidfile`.", "Set `pidfile`."),
    fatal(
        "PgBouncer should not run as root",
        "The process would serve as root (the text is PgBouncer's).",
        "Set `user`, or start it as another user.",
    ),
    fatal(
        "could not find user '{name}' to switch to",
        "The user of `user` or `-u` does not exist.",
        "Create it, or name another one.",
    ),
    fatal(
        "failed to reset groups for user '{name}' (group '{group}'): {error}",
        "The system refuses the change to the user of `user`.",
        "Start as root, or as that user.",
    ),
    fatal(
        "failed to assume identity of group '{group}': {error}",
        "The system refuses the change to the user of `user`.",
        "Start as root, or as that user.",
    ),
    fatal(
        "failed to assume identity of user '{name}': {error}",
        "The system refuses the change to the user of `user`.",
        "Start as root, or as that user.",
    ),
    fatal(
        "could not set the dumpable flag of the process: {error}",
        "The kernel refuses `prctl(PR_SET_DUMPABLE)`.",
        "See whether a seccomp filter forbids it.",
    ),
    fatal(
        "failed to become a daemon: {error}",
        "The system refuses the fork of `-d`.",
        "Start without `-d`, under a service manager.",
    ),
    fatal(
        "pidfile '{file}' exists, another instance running?",
        "The process of the pidfile lives.",
        "Stop it, or give this one a `pidfile` of its own.",
    ),
    fatal(
        "pidfile '{file}' exists and holds no process id",
        "`pidfile` names a file that is something else. It is left alone.",
        "Give `pidfile` a path of its own, or remove the file.",
    ),
    fatal(
        "could not read pidfile '{file}': {error}",
        "There is something by the pidfile's name that cannot be read, or that is no file.",
        "Check its rights, or give `pidfile` another path.",
    ),
    fatal(
        "could not remove stale pidfile '{file}': {error}",
        "A dead process has left the pidfile, and it cannot be removed.",
        "Check the rights of its directory.",
    ),
    fatal(
        "could not open pidfile '{file}': {error}",
        "The pidfile cannot be made or written.",
        "Check that its directory is there and writable.",
    ),
    fatal(
        "unix socket is in use, cannot continue",
        "Another process listens on the same Unix socket.",
        "Stop it, or change `unix_socket_dir` or `listen_port`.",
    ),
    text(
        "option '--{name}' is ambiguous; possibilities: {names}",
        "The name of an option is cut so short that it fits several.",
        "Write more of it.",
    ),
    text(
        "online restart (-R) is not available: PgBouncer 1.26 has removed it; to restart without a gap, \
         start the new process beside the old one with so_reuseport, then send the old one SIGTERM \
         (docs/coming-from-pgbouncer.md)",
        "`-R` or `--reboot` on the command line, whether or not another process runs.",
        "Start without it; see [coming-from-pgbouncer.md](coming-from-pgbouncer.md).",
    ),
    fatal(
        "path of the unix socket is too long: {bytes} bytes, at most {most} (unix_socket_dir): {path}",
        "The system has no room for so long a path; `--check` warns of it.",
        "Choose a shorter `unix_socket_dir`.",
    ),
    fatal(
        "unix port {port} is in use",
        "A PostgreSQL server has the Unix socket of that port: its `.lock` file is there.",
        "Change `listen_port` or `unix_socket_dir`.",
    ),
    fatal(
        "failed to create unix socket {path}: {error}",
        "The Unix socket cannot be made, or its mode or group cannot be set.",
        "Check `unix_socket_dir`, `unix_socket_mode`, `unix_socket_group`.",
    ),
    fatal(
        "failed to listen on any address in listen_addr list: {list}",
        "No address of `listen_addr` works; each has a WARNING of its own.",
        "Correct `listen_addr`; see what else listens there (`ss -ltnp`).",
    ),
    fatal(
        "nowhere to listen on",
        "Neither `listen_addr` nor `unix_socket_dir` is set, or systemd has handed over no socket.",
        "Set one of them.",
    ),
    fatal(
        "cannot use socket from service manager: {error}",
        "A socket handed over by systemd is neither TCP nor Unix, or does not listen.",
        "Correct the `.socket` unit.",
    ),
    fatal(
        "cannot listen on metrics_listen {address}: {error}",
        "The address of the metrics page is taken or not this machine's.",
        "Correct `metrics_listen`, or free the port.",
    ),
    fatal("could not listen to signals: {error}", "The system refuses a signal handler.", "Report it."),
    fatal(
        "could not start the threads for logins: {error}",
        "Threads or descriptors are missing at the start.",
        "Raise the limits of tasks and of open files.",
    ),
    fatal(
        "could not start a worker: {error}",
        "Threads or descriptors are missing at the start.",
        "Raise the limits of tasks and of open files, or set fewer `workers`.",
    ),
    text("no configuration file specified", "On stderr: the command line names no file.", "Name it."),
    text("too many arguments", "On stderr: the command line names more than one file.", "Name one."),
    text("--iam belongs to --check", "On stderr: `--iam` without `--check`.", "Add `--check`."),
    fatal(
        "suspend was in progress, going down immediately",
        "SIGTERM or SIGINT while suspended: nobody could leave in order, so the process ends at once, with \
         exit code 1.",
        "RESUME before the signal, next time.",
    ),
];

/// What the log tells of metrics, statistics and of itself.
pub(super) const METRICS: &[Message] = &[
    log("serving metrics on http://{address}/metrics", "The page of metrics is open.", NONE),
    warning(
        "metrics_listen: accept failed: {error}",
        "A scraper could not be accepted, most often because no file can be opened. It is tried again each \
         second, and told once a minute.",
        "Raise the limit of open files.",
    ),
    log(
        "stats: {xacts} xacts/s, {queries} queries/s, {parses} client parses/s, {server_parses} server \
         parses/s, {binds} binds/s, {logins} client logins/s, in {bytes_in} B/s, out {bytes_out} B/s, xact \
         {xact_us} us, query {query_us} us, wait {wait_us} us",
        "Averages over the last `stats_period`; the three times are for each transaction, query and wait. \
         `wait` that grows means that clients wait for servers.",
        "None; `log_stats=0` leaves the line out.",
    ),
    warning(
        "{count} log lines were lost: {why}",
        "So many lines are missing, for one of the reasons of the next rows.",
        "See there.",
    ),
    text(
        "they came faster than they could be written",
        "Why lines were lost: the destination of the log is slow, or lines come in a flood.",
        "Lower `verbose`, look at the disk or syslog, and at what floods.",
    ),
    text(
        "could not write to the log file: {error}",
        "Why lines were lost: the system's reason, such as a full disk. Told at once, each minute, and when \
         lines are written again.",
        "Make room on the disk of `logfile`.",
    ),
    text(
        "could not send to syslog: {error}",
        "Why lines were lost: the syslog daemon is not there, or takes none.",
        "Look at the daemon; `syslog=0` does without it.",
    ),
];

/// Faults of the program's own. None should ever be seen.
pub(super) const FAULTS: &[Message] = &[
    error(
        "thread {name} panicked at {place}: {words}",
        "A fault of the program. Where one login, task or loop alone has ended by it, the same words stand \
         in that line instead.",
        "Report it, with the lines around it.",
    ),
    error(
        "{words}; a library has caught it, all goes on",
        "A fault in a library, which goes on by itself. The words are those of the row above.",
        "Report it.",
    ),
    error(
        "cannot start a thread ({name}, {peer}): {error}",
        "The system gives no more threads: that login by PAM fails.",
        "Raise the limit of tasks (`TasksMax=`).",
    ),
    error(
        "{what} ({peer}) has panicked and was ended, all else goes on{panic}",
        "One login, console client, scrape or fetch of credentials has ended because of a fault of the \
         program; `pgweir_panics_total` counts it.",
        "Report it.",
    ),
    error(
        "{what} has panicked and was restarted{panic}",
        "A loop that serves everybody (accepting, the metrics page, the watch over IAM, statistics) was \
         begun anew.",
        "Report it.",
    ),
    fatal(
        "{why}, aborting",
        "The process cannot go on and ends at once (SIGABRT); the service manager starts it again.",
        "Report it, with the lines before it.",
    ),
    text(
        "{what} has panicked{panic}",
        "Why it aborts: the launcher, the console or the task of signals and orders has met a fault of the \
         program.",
        "Report it.",
    ),
    text(
        "the ledger has panicked",
        "Why it aborts: the counts of servers are in doubt, so that no limit could be kept.",
        "Report it.",
    ),
    text(
        "worker {number} has panicked, which may have mixed rows; it held {state}",
        "Why it aborts: a worker has met a fault of the program. It ends rather than risk that a client is \
         sent another's rows.",
        "Report it.",
    ),
    text(
        "worker {number} cannot wait for events: {error}",
        "Why it aborts: the kernel refuses `epoll_wait`.",
        "Report it.",
    ),
    text(
        "io_uring has failed: {error}",
        "Why it aborts: io_uring has failed while it was in use.",
        "Set `io_backend=epoll`, and report it.",
    ),
    text(
        "io_uring holds fewer writes than it was made for",
        "Why it aborts: io_uring has failed while it was in use.",
        "Set `io_backend=epoll`, and report it.",
    ),
    error(
        "internal error, closing the connection with {peer} ({life}): {what}",
        "The pooler was mistaken about the bytes of one connection, and has ended it rather than send what \
         may be another's; `pgweir_driver_faults_total` counts it.",
        "Report it.",
    ),
    error(
        "cannot watch the socket of {peer}: {error}",
        "The kernel refuses epoll for one connection, which ends.",
        "Look at `/proc/sys/fs/epoll/max_user_watches`; else report it.",
    ),
    error(
        "cannot stop watching the socket of {peer}: {error}",
        "The kernel refuses to let a server go to another worker.",
        "Report it.",
    ),
];
