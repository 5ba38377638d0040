/*
 * A kernel whose hooks answer, for one socket at a time: getsockopt() of IPV6_ADDR_PREFERENCES as the
 * library sees it when it is linked with --wrap. The variables say what the hooks know, and can be
 * read and set by a test.
 */

#include <setsc.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

uint32_t kept_flags;        /* IPV6_REQUIRE_SRC_ON_NET and the type field */
uint32_t type_with_address; /* for which there is an address, or 0 */
struct in6_addr its_address;
int system_calls;

int __real_getsockopt(int s, int level, int name, void *value, socklen_t *length);
int __wrap_getsockopt(int s, int level, int name, void *value, socklen_t *length);

int __wrap_getsockopt(int s, int level, int name, void *value, socklen_t *length)
{
    const socklen_t room = *length;
    int result = __real_getsockopt(s, level, name, value, length);
    struct {
        uint32_t flags, status;
        struct in6_addr address;
        uint32_t valid_for, reserved;
    } answer = {.status = 1};

    if (result != 0 || level != IPPROTO_IPV6 || name != IPV6_ADDR_PREFERENCES)
        return result;
    system_calls++;
    memcpy(&answer.flags, value, sizeof answer.flags);
    answer.flags |= kept_flags;
    if (room > sizeof answer && room - sizeof answer == type_with_address &&
        !(kept_flags & IPV6_REQUIRE_SRC_ON_NET)) {
        answer.status = 0;
        answer.address = its_address;
        answer.valid_for = 60;
    }
    if (room >= sizeof answer)
        *length = sizeof answer;
    memcpy(value, &answer, *length);
    return 0;
}
