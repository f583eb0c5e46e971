{{/* What the operator may do in a namespace whose runs it carries out. */}}
{{- define "autollm.operatorRules" -}}
- apiGroups: [autollm.dev]
  resources: [autollmruns]
  verbs: [list, watch]
- apiGroups: [autollm.dev]
  resources: [deltatrainings, mergetrials]
  verbs: [create, delete, get, list, patch, watch]
- apiGroups: [autollm.dev]
  resources: [autollmruns/status, deltatrainings/status, mergetrials/status]
  verbs: [patch]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [create, delete, get, list, patch, watch]
- apiGroups: [""]
  resources: [pods]
  verbs: [delete, list, watch]
- apiGroups: [""]
  resources: [services]
  verbs: [create, get]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end -}}

{{/* What the token of a worker may do in its namespace: the namespace is the boundary of trust. */}}
{{- define "autollm.workerRules" -}}
- apiGroups: [autollm.dev]
  resources: [autollmruns, deltatrainings]
  verbs: [get]
- apiGroups: [autollm.dev]
  resources: [mergetrials]
  verbs: [get, list, watch]
- apiGroups: [autollm.dev]
  resources: [autollmruns/status, deltatrainings/status, mergetrials/status]
  verbs: [patch]
{{- end -}}
