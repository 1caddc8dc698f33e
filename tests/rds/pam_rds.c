/*
 * PAM module in the place of the one on an RDS host: hands the password that PostgreSQL was given to a verifier
 * and obeys.
 *
 * Its argument is the verifier's Unix socket. It sends "PID NUL USER NUL TOKEN", ends its half of the stream,
 * and reads one byte: '+' lets the user in. Debian's pam_exec cuts passwords at 511 bytes, tokens have
 * thousands; this one cuts nothing.
 * Never logs; wipes the token before it frees it.
 */
#include <security/pam_modules.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int send_all(int fd, const char *bytes, size_t count) {
    while (count > 0) {
        ssize_t sent = send(fd, bytes, count, MSG_NOSIGNAL);
        if (sent <= 0)
            return -1;
        bytes += sent;
        count -= (size_t)sent;
    }
    return 0;
}

/* Whether the verifier says yes; -1 when it cannot be asked. */
static int ask(const char *path, const char *user, const char *token) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char pid[24], answer = '-';
    int fd, verdict = -1;

    if (strlen(path) >= sizeof address.sun_path)
        return -1;
    strcpy(address.sun_path, path);
    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 && send_all(fd, pid, strlen(pid) + 1) == 0 &&
        send_all(fd, user, strlen(user) + 1) == 0 && send_all(fd, token, strlen(token)) == 0 &&
        shutdown(fd, SHUT_WR) == 0 && read(fd, &answer, 1) == 1)
        verdict = answer == '+';
    close(fd);
    return verdict;
}

int pam_sm_authenticate(pam_handle_t *pam, int flags, int argc, const char **argv) {
    const struct pam_conv *conversation = NULL;
    const struct pam_message prompt = {PAM_PROMPT_ECHO_OFF, "token"}, *prompts = &prompt;
    struct pam_response *response = NULL;
    const char *user = NULL;
    int verdict;

    (void)flags;
    if (argc != 1 || pam_get_user(pam, &user, NULL) != PAM_SUCCESS ||
        pam_get_item(pam, PAM_CONV, (const void **)&conversation) != PAM_SUCCESS || conversation == NULL)
        return PAM_SYSTEM_ERR;
    if (conversation->conv(1, &prompts, &response, conversation->appdata_ptr) != PAM_SUCCESS || response == NULL ||
        response->resp == NULL)
        return PAM_CONV_ERR;
    verdict = ask(argv[0], user, response->resp);
    explicit_bzero(response->resp, strlen(response->resp));
    free(response->resp);
    free(response);
    return verdict == 1 ? PAM_SUCCESS : verdict == 0 ? PAM_PERM_DENIED : PAM_AUTHINFO_UNAVAIL;
}

int pam_sm_setcred(pam_handle_t *pam, int flags, int argc, const char **argv) {
    (void)pam, (void)flags, (void)argc, (void)argv;
    return PAM_SUCCESS;
}
