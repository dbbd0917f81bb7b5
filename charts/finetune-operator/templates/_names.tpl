{{/* Name of the release's objects. */}}
{{- define "finetune-operator.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{/* Labels that never change: selectors are made of them. */}}
{{- define "finetune-operator.selector" -}}
app.kubernetes.io/name: finetune-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels of every object. */}}
{{- define "finetune-operator.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "finetune-operator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: finetune
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{/* Reference of an image, by digest where there is one. Takes (dict "image" IMAGE "root" $). */}}
{{- define "finetune-operator.image" -}}
{{- $name := printf "%s/%s" (.root.Values.registry | trimSuffix "/") .image.repository | trimPrefix "/" -}}
{{- if .image.digest -}}
{{ $name }}@{{ .image.digest }}
{{- else -}}
{{ $name }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* Name of the operator's service account. */}}
{{- define "finetune-operator.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "finetune-operator.fullname" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end }}

{{/* What a trainer's pod is known by. */}}
{{- define "finetune-operator.trainerSelector" -}}
app.kubernetes.io/name: finetune-trainer
app.kubernetes.io/managed-by: finetune-operator
{{- end }}

{{/* Compute profiles by name, whose quantities may be written as numbers too. */}}
{{- define "finetune-operator.profiles" -}}
{{- $profiles := deepCopy . -}}
{{- range $profile := $profiles -}}
{{- range $amounts := list $profile.requests $profile.limits -}}
{{- range $resource, $amount := $amounts | default dict -}}
{{- $_ := set $amounts $resource ($amount | toJson | trimAll "\"") -}}
{{- end -}}
{{- end -}}
{{- range $field := list "workSize" "sharedMemorySize" -}}
{{- with get $profile $field -}}
{{- $_ := set $profile $field (. | toJson | trimAll "\"") -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $profiles -}}
{{- end }}

{{/* The file that the operator reads at its start: finetune_operator.settings.Settings. */}}
{{- define "finetune-operator.settings" -}}
{{- $image := include "finetune-operator.image" (dict "image" .Values.trainer.image "root" $) -}}
{{- with .Values.watchNamespaces -}}
namespaces:
  {{- toYaml . | nindent 2 }}
{{ end -}}
trainer:
  name: {{ $image }}
  pullPolicy: {{ .Values.trainer.image.pullPolicy }}
  runAsUser: {{ .Values.trainer.runAsUser | toJson }}
  {{- omit .Values.trainer "image" "runAsUser" | toYaml | nindent 2 }}
profiles:
  {{- include "finetune-operator.profiles" .Values.profiles | nindent 2 }}
{{ include "finetune-operator.profiles" (dict "checkProfile" .Values.checkProfile) }}
stores:
  {{- toYaml .Values.stores | nindent 2 }}
{{ toYaml .Values.settings }}
{{- end }}
