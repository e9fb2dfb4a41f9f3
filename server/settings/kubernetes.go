package settings

import "regexp"

// kubernetes matches what the kubelet sets in every container for each Service
// of its namespace: {SVC}_SERVICE_HOST, {SVC}_SERVICE_PORT, {SVC}_SERVICE_PORT_{NAME},
// and the variables of Docker's links, {SVC}_PORT, {SVC}_PORT_{N}_{PROTOCOL} and
// {SVC}_PORT_{N}_{PROTOCOL}_PROTO, _PORT and _ADDR (kubernetes,
// pkg/kubelet/envvars/envvars.go). A Service's name is given in capitals, with _
// for -. {SVC}_PORT is theirs only with a URL as its value: PEAL_PORT=8080 is
// a mistake of the operator.
var (
	kubernetes     = regexp.MustCompile(`^PEAL(_[A-Z0-9_]+)?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)
	kubernetesPort = regexp.MustCompile(`^PEAL(_[A-Z0-9_]+)?_PORT$`)
	portURL        = regexp.MustCompile(`^(tcp|udp|sctp)://`)
)

// OfKubernetes reports whether a variable is one that Kubernetes made of a
// Service whose name begins with "peal". A name that is a setting's is none.
func OfKubernetes(variable, value string) bool {
	return kubernetes.MatchString(variable) || kubernetesPort.MatchString(variable) && portURL.MatchString(value)
}
