/* The calls of setsc.h, which alone are visible outside of the library. */

#pragma GCC visibility push(default)
#include "setsc.h"
#pragma GCC visibility pop

#include "ask.h"

#include <errno.h>
#include <stddef.h>

static int fail(int reason)
{
    errno = reason;
    return EAI_REQUIREDIPFAILED;
}

int setsc(int sockfd, struct in6_addr *sourceAddress, sc_type addressType)
{
    return moorage_setsc(sockfd, sourceAddress, addressType, NULL);
}

int moorage_setsc(int sockfd, struct in6_addr *sourceAddress, sc_type addressType,
                  const struct moorage_options *options)
{
    const int errno_before = errno;
    struct wish wish = {.type = addressType};
    struct in6_addr address;

    if (sourceAddress == NULL)
        return fail(EFAULT);
    if (addressType < FIXED_IPV6_ADDRESS || addressType > GRACEFUL_REPLACEMENT_IPV6_ADDRESS)
        return fail(EINVAL);
    if (options != NULL) {
        wish.on_net = options->on_net != 0;
        wish.timeout_ms = options->timeout_ms;
        wish.lifetime = options->lifetime;
        if (wish.lifetime != 0 && addressType != SESSION_LASTING_IPV6_ADDRESS)
            return fail(EINVAL);
    }
    switch (setsc_ask_kernel(sockfd, &wish, &address)) {
    case KERNEL_GAVE:
        break;
    case KERNEL_REFUSED:
        return EAI_REQUIREDIPFAILED;
    case KERNEL_KNOWS_NOT: {
        int status = setsc_ask_daemon(sockfd, &wish, &address);
        if (status != 0)
            return status;
    }
    }
    *sourceAddress = address;
    errno = errno_before;
    return 0;
}

const char *setsc_strerror(int status)
{
    switch (status) {
    case 0:
        return "Success";
    case EAI_REQUIREDIPNOTSUPPORTED:
        return "The required source address type is not supported";
    case EAI_REQUIREDIPFAILED:
        return "The network could not provide the required source address type";
    default:
        return "Unknown error";
    }
}
