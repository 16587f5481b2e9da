"""Pictures that are not plain files of this machine: members of archives."""
