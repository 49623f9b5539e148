/* Counts primes with the sieve of Eratosthenes: something real for a sandbox to build and test. */
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	long limit = argc > 1 ? strtol(argv[1], NULL, 10) : 1000000;
	if (limit < 2 || limit > 100000000) {
		fprintf(stderr, "usage: sieve LIMIT, from 2 to 100000000\n");
		return 2;
	}
	char *composite = calloc((size_t)limit + 1, 1);
	if (composite == NULL) {
		perror("sieve");
		return 1;
	}
	long count = 0, last = 0;
	for (long n = 2; n <= limit; n++) {
		if (composite[n])
			continue;
		count++;
		last = n;
		for (long m = n * n; m <= limit; m += n)
			composite[m] = 1;
	}
	printf("%ld primes up to %ld, the last is %ld\n", count, limit, last);
	free(composite);
	return 0;
}
