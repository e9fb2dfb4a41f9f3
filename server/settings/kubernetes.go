package settings

import "regexp"

// kubernetes matches the variables that the kubelet sets in every container for
// each Service of its namespace: {SVC}_SERVICE_HOST, {SVC}_SERVICE_PORT, {SVC}_SERVICE_PORT_{NAME},
// and the variables of Docker's links, {SVC}_PORT, {SVC}_PORT_{N}_{PROTOCOL} and
// {SVC}_PORT_{N}_{PROTOCOL}_PROTO, _PORT and _ADDR (kubernetes,
// pkg/kubelet/envvars/envvars.go). The name of the Service is in capitals, with _
// for -. {SVC}_PORT comes from Kubernetes only with a URL as its value:
// PEAL_PORT=8080 is a mistake of the operator.
var (
	kubernetes     = regexp.MustCompile(`^PEAL(_[A-Z0-9_]+)?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)
	kubernetesPort = regexp.MustCompile(`^PEAL(_[A-Z0-9_]+)?_PORT$`)
	portURL        = regexp.MustCompile(`^(tcp|udp|sctp)://`)
)

// OfKubernetes reports whether Kubernetes created a variable for a Service whose
// name begins with "peal". The variables of settings are not among them.
func OfKubernetes(variable, value string) bool {
	return kubernetes.MatchString(variable) || kubernetesPort.MatchString(variable) && portURL.MatchString(value)
}
