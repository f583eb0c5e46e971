{{- define "autollm.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* A Service's name begins with a letter and has no dots; a release's may be otherwise. */}}
{{- define "autollm.fullname" -}}
{{- $name := include "autollm.name" . -}}
{{- $release := .Release.Name | replace "." "-" -}}
{{- if regexMatch `^[0-9]` $release }}{{ $release = printf "release-%s" $release }}{{ end -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains $name $release -}}
{{- $release | trunc 40 | trimAll "-" -}}
{{- else -}}
{{- printf "%s-%s" $release $name | trunc 40 | trimAll "-" -}}
{{- end -}}
{{- end -}}

{{/* The name of what belongs to no namespace: another release elsewhere has another, since neither part can have a colon. */}}
{{- define "autollm.clusterName" -}}
{{- printf "autollm:%s:%s" .Release.Namespace (include "autollm.fullname" .) -}}
{{- end -}}

{{- define "autollm.selector" -}}
app.kubernetes.io/name: {{ include "autollm.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "autollm.labels" -}}
app.kubernetes.io/name: {{ include "autollm.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: autollm
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* An image by digest, or else by tag. Takes a list: the root, the image's values. */}}
{{- define "autollm.image" -}}
{{- $root := index . 0 -}}{{- $image := index . 1 -}}
{{- with $root.Values.imageRegistry }}{{ trimSuffix "/" . }}/{{ end -}}
{{- $image.repository -}}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default $root.Chart.AppVersion }}{{ end -}}
{{- end -}}

{{- define "autollm.serviceAccount" -}}
{{- if .Values.operator.serviceAccount.create -}}
{{- default (include "autollm.fullname" .) .Values.operator.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.operator.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The namespaces in which workers get a ServiceAccount, as a JSON list. */}}
{{- define "autollm.namespaces" -}}
{{- default (list .Release.Namespace) .Values.namespaces | uniq | sortAlpha | toJson -}}
{{- end -}}

{{- define "autollm.caConfigMap" -}}
{{- with .Values.workers.caBundle -}}
{{- if and .certificates .configMap }}{{ fail "workers.caBundle: set certificates or configMap, not both" }}{{ end -}}
{{- if .certificates }}{{ include "autollm.fullname" $ }}-ca{{ else }}{{ .configMap }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* The environment of every worker, as JSON. The API server's address is known only in the pod, which puts it in place of $(…). */}}
{{- define "autollm.workerEnv" -}}
{{- $env := dict -}}
{{- $proxy := .Values.workers.proxy -}}
{{- range $name, $url := dict "HTTP_PROXY" $proxy.http "HTTPS_PROXY" $proxy.https }}
{{- if $url }}{{ $_ := set $env $name $url }}{{ $_ := set $env (lower $name) $url }}{{ end -}}
{{- end -}}
{{- if $env -}}
{{- $past := concat (list "$(KUBERNETES_SERVICE_HOST)" "localhost" "127.0.0.1" ".svc" ".cluster.local") $proxy.noProxy | join "," -}}
{{- $_ := set $env "NO_PROXY" $past }}{{ $_ := set $env "no_proxy" $past -}}
{{- end -}}
{{- merge (deepCopy .Values.workers.env) $env | toJson -}}
{{- end -}}

{{/* Annotations or labels of the operator's pods or of every worker, as JSON; of workers the operator would refuse the same names.
     Takes a list: the root, whose pods, which of both. */}}
{{- define "autollm.ofPods" -}}
{{- $whose := index . 1 -}}{{- $which := index . 2 -}}{{- $given := index (index . 0).Values $whose $which -}}
{{- $reserved := `^([-a-z0-9.]+\.)?(autollm\.dev|batch\.kubernetes\.io)/|^(app\.kubernetes\.io/managed-by|job-name|controller-uid)$` -}}
{{- if eq $whose "operator" }}{{ $reserved = printf `%s|^app\.kubernetes\.io/(name|instance|component)$` $reserved }}{{ end -}}
{{- range $name := keys $given | sortAlpha }}
{{- if regexMatch $reserved $name }}
{{- fail (printf "%s.%s: %s may not be set: AutoLLM and Kubernetes tell pods apart by it; leave it out" $whose $which $name) }}
{{- end }}
{{- end -}}
{{- toJson $given -}}
{{- end -}}

{{/* The operator's settings: read by autollm_operator/settings.py, which refuses what it does not know. */}}
{{- define "autollm.settings" -}}
{{- $workers := dict
  "image" (include "autollm.image" (list . .Values.workers.image))
  "imagePullPolicy" .Values.workers.image.pullPolicy
  "imagePullSecrets" .Values.workers.imagePullSecrets
  "serviceAccountName" .Values.workers.serviceAccount.name
  "runAsUser" .Values.workers.user
  "fsGroup" .Values.workers.fsGroup
  "podAnnotations" (include "autollm.ofPods" (list . "workers" "podAnnotations") | fromJson)
  "podLabels" (include "autollm.ofPods" (list . "workers" "podLabels") | fromJson)
  "env" (include "autollm.workerEnv" . | fromJson) -}}
{{- with include "autollm.caConfigMap" . }}{{ $_ := set $workers "caBundleConfigMap" . }}{{ end -}}
{{- $settings := dict
  "namespaces" (ternary list (include "autollm.namespaces" . | fromJsonArray) .Values.clusterWide)
  "workers" $workers
  "allowed" .Values.allowed
  "reconcilers" .Values.operator.reconcilers
  "resyncSeconds" .Values.operator.resyncSeconds
  "suggestionSeconds" .Values.operator.suggestionSeconds
  "port" 8080 -}}
{{- if gt (int .Values.operator.replicas) 1 }}{{ $_ := set $settings "lease" (printf "%s/%s" .Release.Namespace (include "autollm.fullname" .)) }}{{ end -}}
{{- toYaml $settings -}}
{{- end -}}
