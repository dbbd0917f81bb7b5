"""The trainer in a pod: reads its order from a file, tells how it goes over HTTP, and at its end in a message."""
