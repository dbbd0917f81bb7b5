// The program that holds a pod's namespaces open.
module finetune.dev/cluster/pause

go 1.26.0
