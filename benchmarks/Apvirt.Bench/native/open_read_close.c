/* Opens, reads and closes a file for some seconds and prints how often it could in a second. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

int main(int argc, char **argv)
{
    char page[4096];
    long count = 0;
    if (argc != 3)
        return 2;
    double begin = now(), seconds = atof(argv[2]);
    while (now() - begin < seconds) {
        int file = open(argv[1], O_RDONLY);
        if (file < 0 || read(file, page, sizeof page) <= 0)
            return 1;
        close(file);
        count++;
    }
    printf("%.0f\n", count / (now() - begin));
    return 0;
}
