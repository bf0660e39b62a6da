"""What is under `deploy/`, held to the programs that read it.

There is no container engine where these run, so nothing here starts a container. The parts are
checked one by one: the compose files by a real implementation's merging and the published
schema, the images by their own install steps in a clean folder, each configuration by the
server that takes it.
"""
