// Put before each source of mediasoup 3.8.4: what compilers and glibc since 2021 ask for.
#include <cstdint>
#include <limits>
#include <signal.h>
#undef SIGSTKSZ
#define SIGSTKSZ 65536
