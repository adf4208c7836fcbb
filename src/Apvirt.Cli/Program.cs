using Apvirt.Cli;

return CommandLine.Run(args, CommandIo.OfProcess());
