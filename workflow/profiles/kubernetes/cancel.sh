#!/bin/sh
kubectl delete --wait=false "$@"
