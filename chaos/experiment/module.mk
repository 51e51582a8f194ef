$(eval $(call module,chaos/experiment,proxy/base proxy/fault,libfyaml))
$(eval $(call tests,unit,chaos/experiment,chaos/experiment,))
