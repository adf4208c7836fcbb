using Apvirt.Kernel;

namespace Apvirt.Ap.Bus;

/// <summary>What the service element does when the operating system asks (SCLP), and what adapters tell of themselves.</summary>
public interface IApFirmware
{
    /// <summary>Configures an adapter on or off.</summary>
    /// <param name="apid">Adapter, 0 to 255.</param>
    /// <param name="configure">On or off.</param>
    /// <returns>EIO if it fails, EOPNOTSUPP if the machine cannot.</returns>
    Errno Reconfigure(int apid, bool configure);

    /// <summary>Serial number of an adapter, empty if unknown.</summary>
    /// <param name="apid">Adapter, 0 to 255.</param>
    string SerialOf(int apid);
}
