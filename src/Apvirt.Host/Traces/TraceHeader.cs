using Apvirt.Ap.Architecture;
using Apvirt.Ap.Bus;
using Apvirt.Ap.Hardware;
using Apvirt.Host.Machines;
using Apvirt.VfioPci.Pci;

namespace Apvirt.Host.Traces;

/// <summary>The first line of a trace: the machine that it was recorded on (FORMAT.md).</summary>
/// <param name="About">What the trace is about.</param>
/// <param name="HasApxa">Whether the machine has extended addressing.</param>
/// <param name="MaxAdapter">NA.</param>
/// <param name="MaxDomain">ND.</param>
/// <param name="Adapters">Adapters in the configuration.</param>
/// <param name="Domains">Usage domains in the configuration.</param>
/// <param name="ControlDomains">Control domains in the configuration.</param>
/// <param name="Type">Text that holds <c>hwtype N</c>.</param>
/// <param name="HwType">AP type of the adapters.</param>
/// <param name="OldAdapters">Adapters of type 9, too old for any driver.</param>
/// <param name="ApMaskText">apmask boot parameter.</param>
/// <param name="AqMaskText">aqmask boot parameter.</param>
public sealed record TraceHeader(
    string About, bool HasApxa, int MaxAdapter, int MaxDomain, ApMask Adapters, ApMask Domains, ApMask ControlDomains,
    string Type, int HwType, ApMask OldAdapters, string ApMaskText, string AqMaskText)
{
    private const int OldHwType = 9;

    /// <summary>Whether guests can be secure.</summary>
    public bool HasSecureExecution { get; init; } = true;

    /// <summary>Whether adapter interrupts of secure guests are virtualised.</summary>
    public bool HasSecureAiv { get; init; } = true;

    /// <summary>The PCI functions.</summary>
    public IReadOnlyList<PciFunctionSetup> PciFunctions { get; init; } = [];

    /// <summary>The machine. All 256 adapters are plugged in; the configuration says which are there.</summary>
    public MachineSetup ToSetup()
    {
        uint functions = Type.StartsWith("CEX", StringComparison.Ordinal) && AdapterType.TryParse(Type.Split(' ')[0], out AdapterType? named)
            ? named!.Functions
            : AdapterType.Ep11Functions;
        AdapterType type = new(HwType, functions);
        AdapterType old = new(OldHwType, functions);
        return new MachineSetup
        {
            Configuration = new QciInfo(
                HasApxa ? ApFeatures.Apsc | ApFeatures.Apxa : ApFeatures.Apsc, MaxAdapter, MaxDomain, Adapters, Domains, ControlDomains),
            Adapters = Enumerable.Range(0, ApMask.Size).ToDictionary(apid => apid, apid => OldAdapters[apid] ? old : type),
            HasSecureExecution = HasSecureExecution,
            HasSecureAiv = HasSecureAiv,
            PciFunctions = PciFunctions,
            Bus = new ApBusOptions
            {
                ApMaskParameter = ApMaskText,
                AqMaskParameter = AqMaskText,
                ScansByTimer = false,
                UseInterrupts = false,
            },
        };
    }
}
